//! Settings chosen in the window, kept in the user's file: lines of that file are replaced or added, all others stay as
//! they are, comments included.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::config::{Layer, user_file};

/// Why nothing is kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system names no folder for it.
    #[error("this system has no folder for settings")]
    NoPlace,
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// What would be written could not be read again: the file is left alone.
    #[error("{path} is not understood: {why}")]
    Odd {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: String,
    },
}

/// Keeps these settings, by key; where they are kept. Reads and writes a file: not for the window's thread.
pub fn keep(changes: &[(&str, String)]) -> Result<PathBuf, Error> {
    let path = user_file().ok_or(Error::NoPlace)?;
    keep_in(&path, changes).map(|()| path)
}

fn keep_in(path: &Path, changes: &[(&str, String)]) -> Result<(), Error> {
    let failed = |source| Error::File { path: path.into(), source };
    let before = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(failed(e)),
    };
    let text = changes.iter().fold(before, |text, (key, value)| replaced(&text, key, value));
    if let Err(why) = Layer::from_toml(&text, "the file") {
        return Err(Error::Odd { path: path.into(), why: why.to_string() });
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    // Whole or not at all, whatever happens meanwhile.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map(drop).map_err(|e| failed(e.error))
}

/// The text with `key = value`, where it stood or at the end.
fn replaced(text: &str, key: &str, value: &str) -> String {
    let is_bare = value.parse::<f64>().is_ok_and(f64::is_finite) || value == "true" || value == "false";
    let value = if is_bare { value.to_owned() } else { toml::Value::String(value.to_owned()).to_string() };
    let new = format!("{key} = {value}");
    let is_it = |line: &str| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
    let mut found = false;
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| {
            let replaces = is_it(line);
            found |= replaces;
            if replaces { new.clone() } else { line.to_owned() }
        })
        .collect();
    if !found {
        lines.push(new);
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_replaced_where_it_stands_and_comments_stay() {
        let before = "# mine\nname = \"Ada\"\n  theme= \"dark\" # at night\ncamera_fps = 15\n";
        let after = replaced(&replaced(before, "theme", "light"), "scale", "1.5");
        assert_eq!(after, "# mine\nname = \"Ada\"\ntheme = \"light\"\ncamera_fps = 15\nscale = 1.5\n");
        assert_eq!(replaced("", "name", "O\"Neil"), "name = 'O\"Neil'\n");
        assert_eq!(replaced("camera_size = 1\n", "camera", "2"), "camera_size = 1\ncamera = 2\n");
    }

    #[test]
    fn what_could_not_be_read_again_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/roundtable.toml");
        keep_in(&path, &[("theme", "light".into()), ("name", "Ada = \\ \"x\"".into())]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["name"].as_str(), Some("Ada = \\ \"x\""));
        std::fs::write(&path, "name = \"\"\"\ntheme = \n\"\"\"\n[").unwrap();
        assert!(matches!(keep_in(&path, &[("theme", "dark".into())]), Err(Error::Odd { .. })));
    }
}
