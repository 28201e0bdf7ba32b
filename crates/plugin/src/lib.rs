//! For authors of plugins: implement [`Plugin`], name it in [`export!`], and build for `wasm32-unknown-unknown` with the
//! linker `wasm-component-ld`, which comes with rustc. What comes out is a component of the world `coalmine:plugin`.
//!
//! ```
//! use coalmine_plugin::{Failure, Plugin, export};
//!
//! struct Greeter {
//!     greeting: String,
//! }
//!
//! impl Plugin for Greeter {
//!     fn setup(config: Vec<u8>) -> Result<Self, String> {
//!         let greeting = String::from_utf8(config).map_err(|_| "the config is not UTF-8")?;
//!         Ok(Self { greeting })
//!     }
//!
//!     fn handle(&self, request: Vec<u8>) -> Result<Vec<u8>, Failure> {
//!         let name = String::from_utf8(request).map_err(|_| Failure::Refused("send a name in UTF-8".into()))?;
//!         Ok(format!("{}, {name}!", self.greeting).into_bytes())
//!     }
//! }
//!
//! export!(Greeter);
//! ```
//!
//! An instance serves one request at a time, and many one after the other, but how many is up to the host: nothing that
//! must last belongs into its memory.

#![warn(missing_docs)]

use std::panic;

#[doc(hidden)]
pub mod bindings {
    #![allow(missing_docs, reason = "they are those of the interface, in wit/plugin.wit")]
    wit_bindgen::generate!({
        world: "plugin",
        pub_export_macro: true,
        export_macro_name: "export_world",
        default_bindings_module: "coalmine_plugin::bindings",
    });
}

/// Why a request is not answered: `Refused` if the request is at fault, `Failed` if the plugin is. Only the latter counts
/// as an error of the version.
pub use bindings::coalmine::plugin::types::Failure;

/// What a plugin can ask of its host.
pub mod host {
    pub use crate::bindings::coalmine::plugin::host::{Level, call, get, height, log, unit};
}

/// A plugin.
pub trait Plugin: Sized {
    /// Makes an instance with the config that was registered with the version.
    ///
    /// # Errors
    /// In words; the version then fails to load.
    fn setup(config: Vec<u8>) -> Result<Self, String>;

    /// Whether this version can serve: what the host attests at a health gate of a deployment.
    ///
    /// # Errors
    /// In words; the deployment is then rolled back.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Answers one request.
    ///
    /// # Errors
    /// [`Failure`], which says whose fault it is.
    fn handle(&self, request: Vec<u8>) -> Result<Vec<u8>, Failure>;
}

/// Makes panics say what they are about in the log of the node; without it they are a mere `unreachable`.
#[doc(hidden)]
pub fn log_panics() {
    panic::set_hook(Box::new(|info| host::log(host::Level::Error, &info.to_string())));
}

/// Makes a type that implements [`Plugin`] the plugin of this crate, which must be a `cdylib`.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        const _: () = {
            struct Exported;

            ::std::thread_local! {
                static PLUGIN: ::std::cell::OnceCell<$plugin> = const { ::std::cell::OnceCell::new() };
            }

            fn with<T>(f: impl FnOnce(&$plugin) -> T) -> T {
                PLUGIN.with(|plugin| f(plugin.get().expect("the host runs setup first")))
            }

            impl $crate::bindings::Guest for Exported {
                fn setup(config: ::std::vec::Vec<u8>) -> ::std::result::Result<(), ::std::string::String> {
                    $crate::log_panics();
                    let made = <$plugin as $crate::Plugin>::setup(config)?;
                    PLUGIN.with(|plugin| plugin.set(made)).map_err(|_| "setup has run before".into())
                }

                fn check() -> ::std::result::Result<(), ::std::string::String> {
                    with(<$plugin as $crate::Plugin>::check)
                }

                fn handle(request: ::std::vec::Vec<u8>) -> ::std::result::Result<::std::vec::Vec<u8>, $crate::Failure> {
                    with(|plugin| <$plugin as $crate::Plugin>::handle(plugin, request))
                }
            }

            $crate::bindings::export_world!(Exported with_types_in $crate::bindings);
        };
    };
}
