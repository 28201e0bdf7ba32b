//! Mail by SMTP.

use std::path::Path;
use std::time::{Duration, SystemTime};

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{SmtpTransport, Transport as _};

use crate::notify::carrier::{Attempt, Carrier, Form, read, shortened};
use crate::notify::config::{EmailConfig, SinkConfig, SinkError, SmtpTls};
use crate::notify::message::{Message, time};
use crate::outgoing::is_loopback;

/// How long a server may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The longest subject, in characters.
const SUBJECT_MAX: usize = 150;

impl EmailConfig {
    /// Checks what does not take the password.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.host.is_empty() || self.host.contains(['/', '@', ' ']) {
            return Err("host: it is the name of a mail server, such as mail.example.org".into());
        }
        if self.tls == SmtpTls::None && !is_loopback(&self.host) {
            return Err("tls: none is for a mail server on this machine; use implicit or starttls".into());
        }
        if self.user.is_some() != self.password.is_some() {
            return Err("user and password: there are both or neither".into());
        }
        mailbox("from", &self.from)?;
        if self.to.is_empty() {
            return Err("to: there is nobody to write to".into());
        }
        self.to.iter().try_for_each(|to| mailbox("to", to).map(drop))
    }

    fn port(&self) -> u16 {
        match (self.port, self.tls) {
            (0, SmtpTls::Implicit) => 465,
            (0, SmtpTls::Starttls) => 587,
            (0, SmtpTls::None) => 25,
            (port, SmtpTls::Implicit | SmtpTls::Starttls | SmtpTls::None) => port,
        }
    }
}

fn mailbox(of: &str, text: &str) -> Result<Mailbox, String> {
    let refused = |_| format!("{of}: {text:?} is no mailbox; write it as ops@example.org, or Ops <ops@example.org>");
    text.parse().map_err(refused)
}

/// Sends mail for one sink.
pub(super) struct Mailer {
    transport: SmtpTransport,
    from: Mailbox,
    to: Vec<Mailbox>,
    endpoint: [u8; 8],
}

impl Mailer {
    pub(super) fn new(sink: &SinkConfig, config: &EmailConfig, home: &Path) -> Result<Self, SinkError> {
        let refused = |what: String| sink.error(what);
        let tls = || TlsParameters::new(config.host.clone()).map_err(|_| sink.error("tls: the host has no valid name"));
        let tls = match config.tls {
            SmtpTls::Implicit => Tls::Wrapper(tls()?),
            SmtpTls::Starttls => Tls::Required(tls()?),
            SmtpTls::None => Tls::None,
        };
        let mut builder =
            SmtpTransport::builder_dangerous(&config.host).port(config.port()).tls(tls).timeout(Some(TIMEOUT));
        if let (Some(user), Some(password)) = (&config.user, &config.password) {
            let password = read(sink, password, home, "password")?;
            builder = builder.credentials(Credentials::new(user.clone(), password.to_string()));
        }
        let to = config.to.iter().map(|to| mailbox("to", to)).collect::<Result<_, _>>().map_err(refused)?;
        Ok(Self {
            transport: builder.build(),
            from: mailbox("from", &config.from).map_err(refused)?,
            to,
            endpoint: shortened(&["email", &config.host, &config.to.join(",")]),
        })
    }

    /// The mail of a message. Date and id are those of the block, so that another attempt is the same mail.
    fn mail(&self, message: &Message) -> Result<lettre::Message, lettre::error::Error> {
        let subject: String = message.title.chars().filter(|c| !c.is_control()).take(SUBJECT_MAX).collect();
        let domain = self.from.email.domain();
        let mut mail = lettre::Message::builder()
            .from(self.from.clone())
            .date(time(message.time))
            .message_id(Some(format!("<{}@{domain}>", message.id)))
            .subject(subject);
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        // Programs that answer mail by themselves leave this alone.
        mail = mail.raw_header(lettre::message::header::HeaderValue::new(
            lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".into(),
        ));
        mail.singlepart(SinglePart::builder().header(ContentType::TEXT_PLAIN).body(message.body.clone()))
    }
}

impl Carrier for Mailer {
    fn form(&self) -> Form {
        Form::Text
    }

    fn endpoint(&self) -> [u8; 8] {
        self.endpoint
    }

    fn carry(&mut self, message: &Message, _now: SystemTime) -> Attempt {
        let Ok(mail) = self.mail(message) else { return Attempt::failed("the mail cannot be written") };
        match self.transport.send(&mail) {
            Ok(_) => Attempt::delivered(),
            // What the server says may repeat the addresses and what was sent.
            Err(error) => Attempt::failed(match error.status() {
                Some(code) => format!("the mail server says {code}"),
                None if error.is_timeout() => "the mail server did not answer in time".into(),
                None if error.is_tls() => "TLS failed; is the mail server's certificate of a known authority?".into(),
                None if error.is_client() => "the mail server does not offer what is configured".into(),
                None => "the connection to the mail server failed".into(),
            }),
        }
    }
}
