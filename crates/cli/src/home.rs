//! Directories of the user.

use std::path::PathBuf;

/// `rocketmq` in the directory that an XDG variable names, or in its default below the home directory; `None` without
/// both. Source: XDG Base Directory Specification, which wants paths that are not absolute ignored.
pub(crate) fn dir(variable: &str, below_home: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from).filter(|dir| dir.is_absolute());
    let base = named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(below_home)))?;
    Some(base.join("rocketmq"))
}
