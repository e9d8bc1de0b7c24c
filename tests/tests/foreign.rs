//! Homes from elsewhere: nothing in them is believed, and no file system in them is mounted, before a signature that
//! counts here was seen.

use anyhow::{Context, Result, ensure};
use homed_tests::{CHEAP, Ours};
use machine::Machine;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

/// Where the encryption header is in an image.
const HEADER: u64 = 1 << 20;

/// Takes the record's token out of the header of /home/alice.home.
const STRIP_TOKEN: &str = "\
set -e
loop=$(losetup --find --show --offset 1048576 /home/alice.home)
cryptsetup token remove --token-id 0 $loop
losetup --detach $loop";
/// How often the kernel has mounted a file system of a home.
const MOUNTED: &str = "dmesg | grep -c 'BTRFS.*first mount\\|EXT4-fs.*mounted filesystem' || true";

/// A machine with the closed home of alice, which another one has made.
fn with_a_strangers_home(kind: &str) -> Result<Ours> {
    let first = Ours::small()?;
    first.done(&format!("create alice {CHEAP} --fs-type={kind}"), "", "correcthorse")?;
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("alice.home");
    first.copy_out("/home/alice.home", &image)?;
    let second = Ours::small_with(Machine::builder().machine_id("22222222222222222222222222222222"))?;
    second.copy_in(&image, "/home/alice.home")?;
    Ok(second)
}

#[test]
fn without_a_record_in_its_header_a_strangers_home_is_not_mounted() -> Result<()> {
    let machine = with_a_strangers_home("btrfs")?;
    machine.check(STRIP_TOKEN)?;
    let before = (machine.check(MOUNTED)?, machine.check("sha256sum /home/alice.home")?);
    let said = machine.refused("activate alice", "correcthorse", "")?;
    ensure!(said.contains("signed by a key this machine trusts"), "{said}");
    let found = machine.homectl("check alice", "correcthorse", "")?;
    ensure!(found.stdout.contains("vouches"), "{}{}", found.stdout, found.stderr);
    machine.homectl("repair --yes --file-system alice", "correcthorse", "")?;
    let after = (machine.check(MOUNTED)?, machine.check("sha256sum /home/alice.home")?);
    ensure!(before == after, "it was mounted or changed: {before:?} {after:?}\n{}", machine.log());
    machine.nothing_open("alice")?;
    // The count that did not change is one that can: an administrator who asks by name sees it.
    machine.done("rescue alice /root/look", "correcthorse", "")?;
    ensure!(machine.check(MOUNTED)? != after.0, "a mount is not counted");
    Ok(())
}

#[test]
fn a_header_of_a_newer_systemd_is_called_that_and_left_alone() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    machine.check(
        "set -e; cd /root; loop=$(losetup --find --show --offset 1048576 /home/alice.home)
         cryptsetup token export --token-id 0 $loop | sed 's/{/{\"version\":2,/' > token
         cryptsetup token remove --token-id 0 $loop; cryptsetup token import --token-id 0 --json-file token $loop
         losetup --detach $loop",
    )?;
    let before = machine.check("sha256sum /home/alice.home")?;
    for words in ["activate alice", "authenticate alice", "repair --yes alice"] {
        let said = machine.homectl(words, "correcthorse", "")?;
        ensure!(said.status != 0, "{words}: {}", said.stdout);
        let all = said.stdout + &said.stderr;
        ensure!(all.contains("newer systemd") && all.contains("not damaged"), "{words}: {all}");
    }
    let said = machine.refused("passwd alice", "correcthorse", "batterystaple")?;
    ensure!(said.contains("newer systemd"), "{said}");
    ensure!(machine.check("sha256sum /home/alice.home")? == before, "changed");
    Ok(())
}

#[test]
fn how_a_foreign_home_is_mounted_is_not_for_its_record_to_say() -> Result<()> {
    let first = Ours::small()?;
    let wishes = "--nosuid=no --nodev=no --luks-extra-mount-options=compress=zstd:1,commit=299";
    first.done(&format!("create alice {CHEAP} {wishes}"), "", "correcthorse")?;
    first.done("activate alice", "correcthorse", "")?;
    let options = first.check("findmnt -n -o OPTIONS /home/alice")?;
    ensure!(!options.contains("nosuid") && options.contains("commit=299"), "its own machine: {options}");
    first.done("deactivate alice", "", "")?;
    let folder = tempfile::tempdir()?;
    let (image, key) = (folder.path().join("alice.home"), folder.path().join("first.public"));
    first.copy_out("/home/alice.home", &image)?;
    first.copy_out("/var/lib/systemd/home/local.public", &key)?;
    let second = Ours::small_with(Machine::builder().machine_id("22222222222222222222222222222222"))?;
    second.copy_in(&image, "/home/alice.home")?;
    second.copy_in(&key, "/root/first.public")?;
    // Of a stranger, without a record here; of a machine that is trusted, with one.
    for trusted in [false, true] {
        if trusted {
            second.check("homectl add-signing-key /root/first.public")?;
        }
        second.done("activate alice", "correcthorse", "")?;
        let options = second.check("findmnt -n -o OPTIONS /home/alice")?;
        ensure!(options.contains("nosuid") && options.contains("nodev"), "{options}");
        ensure!(!options.contains("commit="), "{options}");
        second.done("deactivate alice", "", "")?;
    }
    Ok(())
}

#[test]
fn an_ext4_that_wishes_a_panic_does_not_get_it() -> Result<()> {
    let machine = Ours::small()?;
    machine.done(&format!("create alice {CHEAP} --fs-type=ext4"), "", "correcthorse")?;
    machine.check(
        "set -e; loop=$(losetup --find --show --offset 1048576 /home/alice.home)
         printf correcthorse | cryptsetup open --key-file - $loop peek
         tune2fs -e panic /dev/mapper/peek; cryptsetup close peek; losetup --detach $loop",
    )?;
    machine.done("activate alice", "correcthorse", "")?;
    let options = machine.check("findmnt -n -o OPTIONS /home/alice; cat /proc/fs/ext4/dm-*/options")?;
    ensure!(options.contains("errors=remount-ro"), "{options}");
    Ok(())
}

#[test]
fn a_name_longer_than_a_partition_s_opens() -> Result<()> {
    let machine = Ours::small()?;
    let name = "alice@students.engineering.university.example";
    machine.done(&format!("create {name} {CHEAP}"), "", "correcthorse")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

/// Changes what both copies of an image's header say, and makes their checksums hold.
fn rewrite_header(image: &Path, change: fn(&mut Value)) -> Result<()> {
    let file = File::options().read(true).write(true).open(image)?;
    let mut size = [0; 8];
    file.read_exact_at(&mut size, HEADER + 8)?;
    let size = u64::from_be_bytes(size);
    for offset in [HEADER, HEADER + size] {
        let mut whole = vec![0; usize::try_from(size)?];
        file.read_exact_at(&mut whole, offset)?;
        let text = whole[4096..].split(|byte| *byte == 0).next().unwrap_or_default();
        let mut text: Value = serde_json::from_slice(text)?;
        change(&mut text);
        let text = serde_json::to_vec(&text)?;
        whole[4096..].fill(0);
        whole[4096..4096 + text.len()].copy_from_slice(&text);
        whole[448..512].fill(0);
        let sum = sha256(&whole)?;
        whole[448..480].copy_from_slice(&sum);
        file.write_all_at(&whole, offset)?;
    }
    Ok(())
}

fn sha256(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(bytes)?;
    let said = Command::new("sha256sum").arg(file.path()).output()?.stdout;
    let digits = said.get(..64).context("no sum")?;
    digits.chunks(2).map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?)).collect()
}

#[test]
fn a_header_that_would_take_the_machine_is_not_tried() -> Result<()> {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 4] = [
        (|h| slot(h)["kdf"] = argon2(4, 64 << 20), "MiB of memory"),
        (|h| slot(h)["kdf"] = argon2(u32::MAX, 1024), "very long"),
        (|h| slot(h)["kdf"]["iterations"] = u32::MAX.into(), "very long"),
        (|h| h["digests"]["0"]["iterations"] = u32::MAX.into(), "very long"),
    ];
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    let folder = tempfile::tempdir()?;
    let (sound, image) = (folder.path().join("sound"), folder.path().join("alice.home"));
    machine.copy_out("/home/alice.home", &sound)?;
    for (change, words) in cases {
        std::fs::copy(&sound, &image)?;
        rewrite_header(&image, change)?;
        machine.copy_in(&image, "/home/alice.home")?;
        let said = machine.refused("activate alice", "correcthorse", "")?;
        ensure!(said.contains("not tried") && said.contains(words), "{said}\n{}", machine.log());
        let found = machine.homectl("check alice", "correcthorse", "")?;
        ensure!(found.status < 128, "{}", found.stderr);
    }
    // A header that was changed like that and asks for no more than it should opens the home.
    std::fs::copy(&sound, &image)?;
    rewrite_header(&image, |_| {})?;
    machine.copy_in(&image, "/home/alice.home")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

/// The home's only key slot.
fn slot(header: &mut Value) -> &mut Value {
    let slots = header["keyslots"].as_object_mut().and_then(|slots| slots.values_mut().next());
    slots.expect("a header with a key slot")
}

fn argon2(time: u32, memory: u64) -> Value {
    json!({"type": "argon2id", "time": time, "memory": memory, "cpus": 1, "salt": "AAAAAAAAAAAAAAAAAAAAAA=="})
}

/// Another machine's mark, that comes while the key slots are tried: no lock tells.
#[test]
fn an_image_that_another_machine_opens_meanwhile_is_left_alone() -> Result<()> {
    let machine = Ours::small()?;
    machine.create("alice", "correcthorse")?;
    marked_meanwhile(&machine, "1048576")?;
    // Without a partition table the mark is in the header, which was full of noise there before.
    machine.check("dd if=/home/alice.home of=/home/plain bs=1M skip=1 conv=sparse status=none; mv /home/plain /home/alice.home")?;
    let data = "cryptsetup luksDump --dump-json-metadata /home/alice.home | jq -r '.segments.\"0\".offset'";
    let data = machine.check(data)?.trim().to_owned();
    machine.check(&format!(
        "dd if=/dev/urandom of=/home/alice.home bs=4096 seek=$(({data} / 4096 - 1)) count=1 conv=notrunc status=none"
    ))?;
    marked_meanwhile(&machine, &data)?;
    let mark = format!(
        "dd if=/home/alice.home bs=4096 skip=$(({data} / 4096 - 1)) count=1 status=none | grep -ac homed-open || :"
    );
    machine.done("activate alice", "correcthorse", "")?;
    assert_eq!(machine.check(&mark)?, "1\n");
    machine.done("deactivate alice", "", "")?;
    assert_eq!(machine.check(&mark)?, "0\n");
    machine.nothing_open("alice")
}

/// The mark comes 4096 bytes before this place of the image.
fn marked_meanwhile(machine: &Ours, before: &str) -> Result<()> {
    machine.check("echo mark-open stop > /run/homed/fault")?;
    let login = machine.command("PASSWORD=correcthorse homectl activate alice 2>&1; :").spawn()?;
    machine.check(
        "until pgrep -r T -fx /usr/lib/homed/worker >/dev/null; do sleep 0.05; done; rm /run/homed/fault",
    )?;
    machine.check(
        &r#"(printf 'homed-open 1\n{"machine":"22222222222222222222222222222222","host":"box","boot":"","since":0}'; head -c 300 /dev/zero) |
        dd of=/home/alice.home bs=1 seek=$((BEFORE - 4096)) conv=notrunc"#
            .replace("BEFORE", before),
    )?;
    let before = machine.check("sha256sum /home/alice.home")?;
    machine.check("pkill -CONT -fx /usr/lib/homed/worker")?;
    let said = login.wait()?.stdout;
    ensure!(said.contains("Another machine has the home open: box"), "{said}");
    ensure!(machine.check("sha256sum /home/alice.home")? == before, "it was changed");
    ensure!(
        machine.check("getfattr -d /home/alice.home 2>/dev/null")?.is_empty(),
        "it is marked as open here"
    );
    machine.done("repair --yes --closed-elsewhere alice", "correcthorse", "")?;
    machine.done("activate alice", "correcthorse", "")?;
    machine.done("deactivate alice", "", "")?;
    machine.nothing_open("alice")
}

/// Whatever else is to be repaired, and whatever else it is opened or deleted for; then the mark is taken away.
fn no_verb_passes_by_the_mark(second: &Ours) -> Result<()> {
    second.check("dd if=/dev/zero of=/home/alice.home bs=512 seek=1 count=1 conv=notrunc")?;
    let before = second.check("sha256sum /home/alice.home")?;
    let asked = second.homectl("repair --dry-run alice", "correcthorse", "")?;
    ensure!(
        asked.stdout.contains("With --closed-elsewhere it would take away the mark of another machine"),
        "{}{}",
        asked.stdout,
        asked.stderr
    );
    // What has nothing to do without the wish ends as a check does.
    let told = second.homectl("repair --yes alice", "correcthorse", "")?;
    ensure!(told.status == 2 && told.stdout.contains("--closed-elsewhere"), "{}{}", told.stdout, told.stderr);
    for (flags, wish) in [(0, "without a wish"), (2, "for the file system")] {
        let call = format!(
            "busctl call org.freedesktop.home1 /org/freedesktop/home1 org.freedesktop.home1.Homed1 RepairHome sst alice {{}} {flags}"
        );
        let said = second.command(&call).run()?;
        ensure!(
            said.status != 0 && said.stderr.contains("Another machine has the home open"),
            "{wish}: {}",
            said.stderr
        );
    }
    for verb in ["rescue", "remove"] {
        let said = second.refused(&format!("{verb} alice"), "correcthorse", "")?;
        ensure!(said.contains("Another machine has the home open"), "{verb}: {said}");
    }
    ensure!(second.check("sha256sum /home/alice.home")? == before, "it was changed");
    let done = second.homectl("repair --yes --closed-elsewhere alice", "correcthorse", "")?;
    ensure!(done.status == 0, "{}{}\n{}", done.stdout, done.stderr, second.log());
    ensure!(
        done.stdout.contains("was taken away") && done.stdout.contains("written anew"),
        "{}",
        done.stdout
    );
    Ok(())
}

/// What a shared folder without shared locks comes to: both machines see one image, and neither sees the other's lock.
#[test]
fn an_image_that_another_machine_has_open_is_left_alone() -> Result<()> {
    let first = Ours::small()?;
    first.create("alice", "correcthorse")?;
    first.done("activate alice", "correcthorse", "")?;
    first.command("echo mine > ~/file; sync ~/file").user("alice").check()?;
    first.check("sync -f /home/alice")?;
    let folder = tempfile::tempdir()?;
    let (image, key) = (folder.path().join("alice.home"), folder.path().join("first.public"));
    first.copy_out("/home/alice.home", &image)?;
    first.copy_out("/var/lib/systemd/home/local.public", &key)?;
    // Cut off with the home open, the machine itself opens it again.
    let first = Ours::on(first.0.power_cut()?.start()?)?;
    first.done("activate alice", "correcthorse", "")?;
    first.done("deactivate alice", "", "")?;
    let closed = folder.path().join("closed");
    first.copy_out("/home/alice.home", &closed)?;

    let second = Ours::small_with(Machine::builder().machine_id("22222222222222222222222222222222"))?;
    second.copy_in(&key, "/root/first.public")?;
    second.check("homectl add-signing-key /root/first.public")?;
    second.copy_in(&image, "/home/alice.home")?;
    let before = second.check("sha256sum /home/alice.home")?;
    let said = second.refused("activate alice", "correcthorse", "")?;
    ensure!(said.contains("Another machine has the home open") && said.contains("minutes"), "{said}");
    let found = second.homectl("check alice", "correcthorse", "")?;
    ensure!(found.status == 2 && found.stdout.contains("Another machine"), "{}", found.stdout);
    ensure!(second.check("sha256sum /home/alice.home")? == before, "it was changed");
    no_verb_passes_by_the_mark(&second)?;
    second.done("activate alice", "correcthorse", "")?;
    ensure!(second.command("cat ~/file").user("alice").check()? == "mine\n", "the file is gone");
    second.done("deactivate alice", "", "")?;
    // One that was closed has no mark.
    second.copy_in(&closed, "/home/alice.home")?;
    second.done("activate alice", "correcthorse", "")?;
    second.done("deactivate alice", "", "")?;
    second.nothing_open("alice")
}
