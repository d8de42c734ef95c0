//! Which camera: as `--camera` takes it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where the own picture comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CameraSpec {
    /// The first camera that works.
    #[default]
    Auto,
    /// No picture.
    None,
    /// A moving test card.
    Test,
    /// The camera with this number.
    Index(u32),
    /// A video file, or a folder of JPEGs.
    File(PathBuf),
}

/// The text names no camera.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a camera is auto, none, test, a number, or a file or folder")]
pub struct NotACamera;

impl FromStr for CameraSpec {
    type Err = NotACamera;

    fn from_str(text: &str) -> Result<Self, NotACamera> {
        Ok(match text {
            "" => return Err(NotACamera),
            "auto" => CameraSpec::Auto,
            "none" => CameraSpec::None,
            "test" => CameraSpec::Test,
            _ => text.parse().map_or_else(|_| CameraSpec::File(text.into()), CameraSpec::Index),
        })
    }
}

impl fmt::Display for CameraSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CameraSpec::Auto => f.write_str("auto"),
            CameraSpec::None => f.write_str("none"),
            CameraSpec::Test => f.write_str("test"),
            CameraSpec::Index(index) => write!(f, "{index}"),
            CameraSpec::File(path) => write!(f, "{}", path.display()),
        }
    }
}
