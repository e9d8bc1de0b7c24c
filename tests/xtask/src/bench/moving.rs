//! How long a home is on its way, beside what moves the same bytes without knowing that it is one: `dd` and rsync over the same
//! ssh (rsync as it is by default: beside what is in force, as ours), `cp -a` on the same disk. One machine is both ends; what comes over ssh finds another folder as `/home`.

use anyhow::{Context, Result, ensure};
use homed_tests::Ours;
use machine::{Image, Init, Machine};
use std::time::Duration;

use super::figures::Figures;
use crate::{find, prepare};

const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(900);

/// Keys, the other end, a home that is nearly full, and an account.
const PREPARE: &str = r#"
set -e
mkdir -p -m 700 /root/.ssh /srv/there
for name in there plain; do ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/$name; done
{ printf 'command="unshare -m sh -c %s" ' "'mount --bind /srv/there /home; eval \$SSH_ORIGINAL_COMMAND'"; cat /root/.ssh/there.pub; cat /root/.ssh/plain.pub; } \
    > /root/.ssh/authorized_keys
for name in there plain; do
    printf 'Host %s\n HostName localhost\n IdentityFile /root/.ssh/%s\n IdentitiesOnly yes\n StrictHostKeyChecking no\n LogLevel ERROR\n' $name $name
done > /root/.ssh/config
ssh plain true && test "$(ssh there 'ls -A /home')" = ""
export PASSWORD=correcthorse NEWPASSWORD=correcthorse
homectl create alice --disk-size=400M --luks-pbkdf-type=pbkdf2 --luks-pbkdf-force-iterations=1000 \
    --enforce-password-policy=no --rate-limit-burst=1000 >/dev/null
homectl activate alice >/dev/null
for file in $(seq 280); do head -c 1M /dev/urandom > /home/alice/$file; done
homectl deactivate alice
useradd -m -k /var/empty bob; echo bob:correcthorse | chpasswd
for folder in $(seq 50); do
    mkdir /home/bob/$folder
    for file in $(seq 40); do head -c 50K /dev/urandom > /home/bob/$folder/$file; done
done
chown -R bob: /home/bob
"#;

const ROUND: &str = r#"
set -e
export PASSWORD=correcthorse NEWPASSWORD=correcthorse
clock() {
    local name=$1; shift
    sync; echo 3 > /proc/sys/vm/drop_caches
    local from=${EPOCHREALTIME/./}
    "$@" >/dev/null 2>/root/said </dev/null || { cat /root/said >&2; exit 1; }
    echo "$name $(( ${EPOCHREALTIME/./} - from ))"
}
plain() { dd if=/home/alice.home bs=1M status=none | ssh plain 'dd of=/srv/plain bs=1M conv=fsync status=none'; }
rm -rf /srv/there/* /srv/there/.[!.]* /srv/plain /srv/older
clock dd plain
clock first homectl send alice there
cmp /home/alice.home /srv/there/alice.home
rm /srv/plain; cp --sparse=always /srv/there/alice.home /srv/older
# One in a hundred blocks is another.
homectl activate alice >/dev/null
for file in 10 90 170; do head -c 900K /dev/urandom | dd of=/home/alice/$file bs=100K seek=1 conv=notrunc status=none iflag=fullblock; done
homectl deactivate alice
clock second homectl send --replace alice there
echo "moved $(grep -o -E '[0-9]+ (bytes|B)' /root/said | head -1 | cut -d' ' -f1)"
echo "content $(( $(stat -c %b /home/alice.home) * 512 ))"
cmp /home/alice.home /srv/there/alice.home
clock rsync rsync --no-whole-file /home/alice.home plain:/srv/older
cmp /home/alice.home /srv/older
copy() { cp -a --reflink=auto /home/bob /home/copy && sync -f /home; }
clock cp copy
rm -rf /home/copy
clock convert homectl convert bob --yes --disk-size=400M --luks-pbkdf-type=pbkdf2 --luks-pbkdf-force-iterations=1000 --enforce-password-policy=no
homectl convert bob --undo --yes >/dev/null
rm -f /home/.bob.put-away-*
"#;

/// What ours is held against, how often ours may take as long, and how it is called.
const LINES: &[(&str, &str, f64, &str)] = &[
    ("first", "dd", 1.0 / 0.9, "first copy, beside dd | ssh"),
    ("second", "rsync", 0.2, "copy of 1 % that changed, beside rsync"),
    ("moved", "content", 0.05, "bytes of that copy, of all there are"),
    ("convert", "cp", 1.0 / 0.9, "convert, beside cp -a --reflink=auto"),
];

/// Measures and prints; fails where one is not reached.
pub fn run(words: &[String]) -> Result<()> {
    ensure!(words.is_empty(), "usage: cargo xtask bench move");
    prepare::everything()?;
    if std::env::var_os("HOMED_DEB").is_none() {
        (find("deb").context("the command that makes the package")?.run)(&[])?;
    }
    let machine = Ours(Machine::builder().image(Image::Ours).init(Init::Full).memory(1536).start()?);
    machine.install("trixie", &["rsync"])?;
    machine.command(PREPARE).timeout(PATIENCE).check()?;
    let mut figures = Figures::default();
    for round in 1..=ROUNDS {
        eprintln!("=== move {round}/{ROUNDS}");
        figures.add(Figures::parse(&machine.command(ROUND).timeout(PATIENCE).check()?)?);
    }
    told(&figures)
}

fn told(figures: &Figures) -> Result<()> {
    println!("medians of {ROUNDS}, in s (bytes: MB)");
    println!("{:<44}{:>10}{:>10}{:>8}  wanted", "", "homed", "beside", "ratio");
    let mut missed = Vec::new();
    for (ours, beside, limit, words) in LINES {
        let median = |name: &str| figures.median(name).with_context(|| format!("{name} was not measured"));
        let (own, other) = (median(ours)?, median(beside)?);
        let ratio = own / other;
        println!("{words:<44}{:>10.2}{:>10.2}{ratio:>8.2}  at most {limit:.2}", own / 1e6, other / 1e6);
        if ratio > *limit {
            missed.push(*words);
        }
    }
    ensure!(missed.is_empty(), "not reached: {}", missed.join("; "));
    Ok(())
}
