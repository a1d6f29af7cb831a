//! What cameras do wrong, as named policies. Each is one of retina's, under a name that stays the same
//! when retina's changes.

use std::num::NonZeroU32;

use retina::client as retina;

use super::check::Choice;

macro_rules! policy {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:literal => $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $name {
            $($(#[$word_doc])* $variant),+
        }

        impl $crate::config::check::Choice for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),+];
        }
    };
}
pub(super) use policy;

policy! {
    /// `transport`: how pictures come.
    Transport {
        /// In the RTSP connection.
        #[default]
        "tcp" => Tcp,
        /// In packets of their own: reordered ones are lost, so for cameras on the same switch only.
        "udp" => Udp,
    }
}

policy! {
    /// `teardown`: whether a session is closed at the camera.
    Teardown {
        /// Once; until it succeeds if the camera is known to need it.
        #[default]
        "auto" => Auto,
        /// Until it succeeds or the session expires: for cameras that run out of sessions.
        "always" => Always,
        /// Not at all.
        "never" => Never,
    }
}

policy! {
    /// `session_id`: what to do when a camera changes it within one session.
    SessionId {
        /// retina's choice; today `require-match`.
        #[default]
        "default" => Default,
        /// Refuse the session.
        "require-match" => RequireMatch,
        /// Go on with the first.
        "use-first" => UseFirst,
    }
}

policy! {
    /// `unassigned_channel_data`: what to do with data on a channel nobody asked for.
    UnassignedChannelData {
        /// Depends on what the camera says it runs.
        #[default]
        "auto" => Auto,
        /// Take it for what an earlier connection left, and wait until that expires.
        "assume-stale-session" => AssumeStaleSession,
        /// Close the session.
        "error" => Error,
        /// Ignore it.
        "ignore" => Ignore,
    }
}

policy! {
    /// `initial_timestamp`: whether to believe where the camera says its streams begin.
    InitialTimestamp {
        /// retina's choice; today `require` for several streams, `ignore` for one.
        #[default]
        "default" => Default,
        /// Refuse a session without it.
        "require" => Require,
        /// Count from the first packet: for cameras that send it wrong.
        "ignore" => Ignore,
        /// Use it if it is there for every stream.
        "permissive" => Permissive,
    }
}

policy! {
    /// `initial_seq`: whether to believe the sequence number the camera says it begins with.
    InitialSeq {
        /// retina's choice; today `ignore-suspicious-values`.
        #[default]
        "default" => Default,
        /// Always.
        "respect" => Respect,
        /// Not 0 and 1, which some cameras always send.
        "ignore-suspicious-values" => IgnoreSuspiciousValues,
        /// Never.
        "ignore" => Ignore,
    }
}

policy! {
    /// `unknown_rtcp_ssrc`: what to do with reports from an unknown sender.
    UnknownRtcpSsrc {
        /// retina's choice; today `drop`.
        #[default]
        "default" => Default,
        /// Close the session.
        "abort" => Abort,
        /// Ignore the report.
        "drop" => Drop,
        /// Take it as the camera's.
        "process" => Process,
    }
}

/// How one stream of a camera must be treated. The default suits a camera without quirks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// How pictures come.
    pub transport: Transport,
    /// Whether a session is closed at the camera.
    pub teardown: Teardown,
    /// What to do when the session id changes.
    pub session_id: SessionId,
    /// What to do with data on a channel nobody asked for.
    pub unassigned_channel_data: UnassignedChannelData,
    /// Whether to believe where streams begin.
    pub initial_timestamp: InitialTimestamp,
    /// Whether to believe the first sequence number.
    pub initial_seq: InitialSeq,
    /// What to do with reports from an unknown sender.
    pub unknown_rtcp_ssrc: UnknownRtcpSsrc,
    /// Close the session when a timestamp goes back, or forward by more seconds than this.
    pub max_timestamp_jump_s: Option<NonZeroU32>,
}

impl Quirks {
    /// Those with words, as the key and the word.
    pub fn words(&self) -> [(&'static str, &'static str); 7] {
        [
            ("transport", self.transport.word()),
            ("teardown", self.teardown.word()),
            ("session_id", self.session_id.word()),
            ("unassigned_channel_data", self.unassigned_channel_data.word()),
            ("initial_timestamp", self.initial_timestamp.word()),
            ("initial_seq", self.initial_seq.word()),
            ("unknown_rtcp_ssrc", self.unknown_rtcp_ssrc.word()),
        ]
    }

    /// Back from [`Quirks::words`]; what a later version calls otherwise has its default.
    pub fn of_words<'a>(words: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut quirks = Self::default();
        for (name, word) in words {
            match name {
                "transport" => quirks.transport = Choice::of_word(word),
                "teardown" => quirks.teardown = Choice::of_word(word),
                "session_id" => quirks.session_id = Choice::of_word(word),
                "unassigned_channel_data" => quirks.unassigned_channel_data = Choice::of_word(word),
                "initial_timestamp" => quirks.initial_timestamp = Choice::of_word(word),
                "initial_seq" => quirks.initial_seq = Choice::of_word(word),
                "unknown_rtcp_ssrc" => quirks.unknown_rtcp_ssrc = Choice::of_word(word),
                _ => {}
            }
        }
        quirks
    }

    /// Applies those that concern the session.
    pub fn session(&self, options: retina::SessionOptions) -> retina::SessionOptions {
        options
            .teardown(match self.teardown {
                Teardown::Auto => retina::TeardownPolicy::Auto,
                Teardown::Always => retina::TeardownPolicy::Always,
                Teardown::Never => retina::TeardownPolicy::Never,
            })
            .session_id(match self.session_id {
                SessionId::Default => retina::SessionIdPolicy::Default,
                SessionId::RequireMatch => retina::SessionIdPolicy::RequireMatch,
                SessionId::UseFirst => retina::SessionIdPolicy::UseFirst,
            })
            .unassigned_channel_data(match self.unassigned_channel_data {
                UnassignedChannelData::Auto => retina::UnassignedChannelDataPolicy::Auto,
                UnassignedChannelData::AssumeStaleSession => {
                    retina::UnassignedChannelDataPolicy::AssumeStaleSession
                }
                UnassignedChannelData::Error => retina::UnassignedChannelDataPolicy::Error,
                UnassignedChannelData::Ignore => retina::UnassignedChannelDataPolicy::Ignore,
            })
    }

    /// Applies those that concern setting up a stream.
    pub fn setup(&self, options: retina::SetupOptions) -> retina::SetupOptions {
        options.transport(match self.transport {
            Transport::Tcp => retina::Transport::Tcp(retina::TcpTransportOptions::default()),
            Transport::Udp => retina::Transport::Udp(retina::UdpTransportOptions::default()),
        })
    }

    /// Applies those that concern playing.
    pub fn play(&self, options: retina::PlayOptions) -> retina::PlayOptions {
        let options = options
            .initial_timestamp(match self.initial_timestamp {
                InitialTimestamp::Default => retina::InitialTimestampPolicy::Default,
                InitialTimestamp::Require => retina::InitialTimestampPolicy::Require,
                InitialTimestamp::Ignore => retina::InitialTimestampPolicy::Ignore,
                InitialTimestamp::Permissive => retina::InitialTimestampPolicy::Permissive,
            })
            .initial_seq(match self.initial_seq {
                InitialSeq::Default => retina::InitialSequenceNumberPolicy::Default,
                InitialSeq::Respect => retina::InitialSequenceNumberPolicy::Respect,
                InitialSeq::IgnoreSuspiciousValues => {
                    retina::InitialSequenceNumberPolicy::IgnoreSuspiciousValues
                }
                InitialSeq::Ignore => retina::InitialSequenceNumberPolicy::Ignore,
            })
            .unknown_rtcp_ssrc(match self.unknown_rtcp_ssrc {
                UnknownRtcpSsrc::Default => retina::UnknownRtcpSsrcPolicy::Default,
                UnknownRtcpSsrc::Abort => retina::UnknownRtcpSsrcPolicy::AbortSession,
                UnknownRtcpSsrc::Drop => retina::UnknownRtcpSsrcPolicy::DropPackets,
                UnknownRtcpSsrc::Process => retina::UnknownRtcpSsrcPolicy::ProcessPackets,
            });
        match self.max_timestamp_jump_s {
            Some(seconds) => options.enforce_timestamps_with_max_jump_secs(seconds),
            None => options,
        }
    }
}
