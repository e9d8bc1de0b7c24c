//! What backends are built from. Parts know nothing of users.

pub mod barrier;
pub mod below;
pub mod bound;
pub mod cover;
pub mod erase;
pub mod gpt;
pub mod idmap;
pub mod image;
pub mod mapped;
pub mod mark;
pub mod room;
pub mod size;
pub mod superblock;
pub mod taken;
pub mod tree;
pub mod unmount;
pub mod wash;
