//! The prompt that has a virtual terminal for itself: all of the screen, and what its keys do.
//!
//! ```text
//! display  bytes in, text out      view  a state → the text that shows it
//!    keys  bytes → keys            field what is typed
//!    idle  when it sleeps again      keyboard  what keys become
//!  glyphs  what the font can show    layouts  other keyboard layouts
//!   going  whether the machine is going to sleep
//!    wait  what a person or a clock does next; ticks: when to look at clocks
//! ```

mod display;
mod field;
mod glyphs;
mod going;
mod idle;
mod keyboard;
mod keys;
mod layouts;
mod ticks;
mod view;
mod wait;

use crate::catalogue::{Catalogue, Language, Text, texts};
use crate::people::People;
use crate::power::Wish;
use crate::settings::Settings;
use crate::sys::pam::{self, Conversation, Echo};
use crate::vt::Front;
use crate::{Ended, assigned, clock, hushed, keymap, locked, sessions, vt};
use display::Display;
use field::{Added, Field};
use going::Going;
use idle::Idle;
use keys::{Key, Keys};
use layouts::Layouts;
use records::Secret;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};
use ticks::Ticks;
use view::{View, Waiting};
use wait::Event;

/// How long the user's session may take to come to the front.
const SWITCHING: Duration = Duration::from_secs(2);
/// What was typed and not finished is wiped after this.
const FORGOTTEN: Duration = Duration::from_secs(30);
/// What failed without a question is tried again after this.
const PAUSE: Duration = Duration::from_secs(5);
/// Shows what is typed: F6.
const SHOW: u8 = 6;
/// Changes the keyboard's layout: F7.
const LAYOUT: u8 = 7;
/// Messages that are shown at once.
const MESSAGES: usize = 3;

/// Asks until nobody is locked; `before` is the number of the terminal that was in front.
pub fn run(device: &str, before: u32) -> Ended<()> {
    let mut screen = Screen::open(device)?;
    loop {
        let Some(user) = screen.chosen() else { return Ok(()) };
        screen.ahead = false;
        screen.people.ask_again();
        // It is known as long as the user is locked.
        let is_theirs = hushed::is_at(&user, before);
        match pam::authenticate(&user, device, &mut screen) {
            Ok(()) => {
                screen.put_keymap_back();
                if sessions::give_back(&user, before, is_theirs) {
                    // Before we are gone, and whoever was in front before us is brought there again.
                    vt::await_other(device, SWITCHING);
                }
                screen.view.messages.clear();
            }
            Err(_) if screen.gone => return Err("the terminal has gone".into()),
            // Another user was chosen, or the user was unlocked elsewhere.
            Err(_) if screen.chosen().as_ref() != Some(&user) => screen.view.messages.clear(),
            Err(why) => screen.pause(&why),
        }
    }
}

/// The screen, and what is typed on it.
struct Screen {
    display: Display,
    watch: OwnedFd,
    keys: Keys,
    view: View,
    /// Whom the running conversation is about.
    user: String,
    people: People,
    layouts: Layouts,
    front: Front,
    /// The language that the view is in.
    language: Language,
    idle: Idle,
    ticks: Ticks,
    going: Going,
    /// What can be asked for.
    offers: BTreeSet<Wish>,
    /// Asked for once, which loses work.
    doubtful: Option<Wish>,
    /// The message that tells how long it stays awake.
    warned: bool,
    /// The screen was off at the last look.
    dark: bool,
    /// What was typed while the last answer was looked at is the beginning of the next.
    ahead: bool,
    /// What was read behind the end of the last answer.
    left: Option<Secret>,
    /// What is in the field was typed before the machine slept.
    stale: bool,
    gone: bool,
}

impl Screen {
    fn open(device: &str) -> Ended<Self> {
        let settings = Settings::read();
        let mut keys: Vec<_> = settings.offers.iter().map(|wish| wish.key()).collect();
        keys.push((SHOW, texts::KEY_SHOW));
        let layouts = Layouts::of_machine();
        if layouts.are_several() {
            keys.push((LAYOUT, texts::KEY_LAYOUT));
        }
        let keys = keys.into_iter().map(|(number, what)| (format!("F{number}"), what)).collect();
        let mut display = Display::open(Path::new(device))?;
        display.enlarge(settings.large_text);
        // One of us was killed with another layout.
        keymap::put_back(display.terminal())?;
        let view = View {
            host: machine(),
            keys,
            glyphs: display.glyphs(),
            colours: settings.colours,
            ..View::default()
        };
        Ok(Self {
            display,
            watch: locked::watch()?,
            keys: Keys::default(),
            view,
            user: String::new(),
            people: People::of_daemon()?,
            layouts,
            front: Front::of(device)?,
            language: Language::default(),
            idle: Idle::new(settings.sleep_again, clock::slept()),
            ticks: Ticks::begin(Instant::now())?,
            going: Going::watch(Path::new(going::FOLDER))?,
            offers: settings.offers,
            doubtful: None,
            warned: false,
            dark: false,
            ahead: false,
            left: None,
            stale: false,
            gone: false,
        })
    }

    /// Who is to be unlocked, of those who are locked now.
    fn chosen(&mut self) -> Option<String> {
        let users = locked::users();
        let before = self.view.waiting.get(self.view.chosen).map(|waiting| waiting.user.clone());
        let place = before.and_then(|user| users.iter().position(|other| *other == user));
        self.view.chosen = place.unwrap_or(self.view.chosen).min(users.len().saturating_sub(1));
        self.view.waiting = users.into_iter().map(|user| waiting(user, &mut self.people)).collect();
        let several = self.view.waiting.len() > 1;
        let shown = self.view.keys.first().is_some_and(|(key, _)| key == "Tab");
        match (several, shown) {
            (true, false) => self.view.keys.insert(0, ("Tab".into(), texts::KEY_USER)),
            (false, true) => drop(self.view.keys.remove(0)),
            (true, true) | (false, false) => {}
        }
        let user = self.view.waiting.get(self.view.chosen).map(|waiting| waiting.user.clone());
        self.user = user.clone().unwrap_or_default();
        self.speak();
        user
    }

    /// In the language of whoever is asked, if it can be read here.
    fn speak(&mut self) {
        let language = self.people.get(&self.user).language;
        if language != self.language {
            self.language = language;
            self.view.catalogue = self.view.glyphs.readable(Catalogue::of(language));
        }
    }

    fn draw(&mut self) {
        self.view.time = clock::now_in_words();
        self.view.keyboard = keyboard::layout(self.display.terminal(), self.layouts.name());
        self.view.caps_lock = keyboard::caps_lock(self.display.terminal());
        // Nobody else has a picture to draw here. A terminal that has gone shows when it is read from.
        let _ = self.display.terminal().show_text();
        self.display.write(&self.view.draw(self.display.size()));
    }

    fn say(&mut self, text: impl Into<Text>) {
        self.view.messages.push(text.into());
        let extra = self.view.messages.len().saturating_sub(MESSAGES);
        self.view.messages.drain(..extra);
    }

    /// Reads a line; `None`: it is over with this conversation.
    fn line(&mut self, question: &str, echo: Echo) -> Option<Secret> {
        let (mut field, mut typed) = (Field::new(question, echo), Instant::now());
        self.view.question = Text::Foreign(question.to_owned());
        // What was typed before the first question was not meant for it.
        if !std::mem::take(&mut self.ahead) {
            self.display.forget_input();
            self.left = None;
        }
        self.keys.pause();
        loop {
            if self.going.is_going() {
                field.clear();
            }
            self.view.answer = field.shown();
            self.draw();
            let event = match self.left.take() {
                Some(bytes) => Event::Keys(bytes),
                None => self.wait((!field.is_empty()).then(|| typed + FORGOTTEN)),
            };
            // Half a password does not lie about, and what was begun before a sleep is not gone on with.
            if typed.elapsed() > FORGOTTEN || std::mem::take(&mut self.stale) {
                field = Field::new(question, echo);
            }
            match event {
                Event::Over => return None,
                Event::Nothing => {}
                Event::Keys(bytes) => {
                    typed = Instant::now();
                    self.keys.pause();
                    let mut wakes = std::mem::take(&mut self.dark);
                    for (place, byte) in bytes.open().iter().enumerate() {
                        let Some(key) = self.keys.take(*byte) else { continue };
                        // Who presses Enter or F5 at a dark screen wants to see something.
                        if std::mem::take(&mut wakes) && !key.is_text() {
                            continue;
                        }
                        if self.press(key, &mut field)? == Line::Complete {
                            self.left = Some(Secret::new(bytes.open()[place + 1..].to_vec()));
                            return Some(field.take());
                        }
                    }
                }
            }
        }
    }

    /// One key; `None`: another user.
    fn press(&mut self, key: Key, field: &mut Field) -> Option<Line> {
        let sure = self.doubtful.take();
        match key {
            Key::Byte(byte) => {
                if field.add(byte) == Added::Full {
                    field.clear();
                    self.say(texts::TOO_LONG);
                }
            }
            Key::Backspace => field.take_back(),
            Key::Clear => field.clear(),
            Key::Enter if field.is_answer() => return Some(Line::Complete),
            Key::Enter => {}
            Key::Next => self.another(1)?,
            Key::Previous => self.another(self.view.waiting.len().saturating_sub(1))?,
            Key::Function(SHOW) => field.turn(),
            Key::Function(LAYOUT) => self.another_layout(),
            Key::Function(number) => {
                field.clear();
                self.function(number, sure);
            }
        }
        Some(Line::Open)
    }

    /// Chooses the user so many places further on; `None`: it is another one than before.
    fn another(&mut self, places: usize) -> Option<()> {
        let count = self.view.waiting.len();
        if count < 2 {
            return Some(());
        }
        self.view.chosen = (self.view.chosen + places) % count;
        None
    }

    /// The keys make other letters from now on: what is typed already stays.
    fn another_layout(&mut self) {
        self.view.messages.clear();
        if let Err((layout, why)) = self.layouts.turn(self.display.terminal()) {
            self.say(texts::NO_LAYOUT.because(&why).with("layout", layout));
        }
    }

    fn function(&mut self, number: u8, sure: Option<Wish>) {
        let Some(wish) = self.offers.iter().copied().find(|wish| wish.key().0 == number) else { return };
        self.view.messages.clear();
        match wish.loses_work() {
            Some(again) if sure != Some(wish) => {
                self.doubtful = Some(wish);
                self.say(again);
            }
            Some(_) | None => {
                if let Err(why) = wish.begin() {
                    self.say(why);
                }
            }
        }
    }

    /// It failed: the person reads why, and says when to try again; what needed no answer is tried again soon.
    fn pause(&mut self, why: &str) {
        if self.view.messages.is_empty() {
            self.say(texts::STILL_LOCKED.because(why));
        }
        let deadline = Instant::now() + PAUSE;
        let mut field = Field::new("", Echo::On);
        self.view.question = texts::ENTER_AGAIN.into();
        self.view.answer = String::new();
        // What is read here is no answer.
        self.ahead = false;
        self.keys.pause();
        while Instant::now() < deadline && !self.gone {
            self.draw();
            let Event::Keys(bytes) = self.wait(Some(deadline)) else { continue };
            for byte in bytes.open() {
                match self.keys.take(*byte) {
                    Some(Key::Enter) => return,
                    Some(key) if self.press(key, &mut field).is_none() => return,
                    Some(_) => field.clear(),
                    None => {}
                }
            }
        }
    }
}

/// Whether a line goes on.
#[derive(PartialEq, Eq)]
enum Line {
    Open,
    Complete,
}

impl Screen {
    fn put_keymap_back(&self) {
        if let Err(why) = keymap::put_back(self.display.terminal()) {
            tell!("the keyboard's layout stays as it was chosen at the prompt: {why}");
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.put_keymap_back();
    }
}

impl Conversation for Screen {
    fn ask(&mut self, question: &str, echo: Echo) -> Option<Secret> {
        let answer = self.line(question, echo)?;
        self.ahead = true;
        self.view.messages.clear();
        self.view.question = texts::CHECKING.into();
        self.view.answer = String::new();
        self.draw();
        Some(answer)
    }

    fn tell(&mut self, text: &str) {
        self.say(Text::Foreign(text.to_owned()));
        self.draw();
    }
}

fn waiting(user: String, people: &mut People) -> Waiting {
    let since = locked::since(&user).map(clock::in_words).unwrap_or_default();
    let called = people.get(&user).called;
    Waiting { user, called, since }
}

/// What the machine is called: by people (machine-info(5)), else on the network.
fn machine() -> String {
    let info = std::fs::read_to_string("/etc/machine-info").unwrap_or_default();
    assigned::value(&info, "PRETTY_HOSTNAME")
        .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
}
