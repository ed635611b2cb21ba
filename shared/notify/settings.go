package notify

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Settings are the environment's, as they stand there. Empty strings are what is not set.
type Settings struct {
	Notify         string // NOTIFY: channels, separated by commas; by default log
	From           string // NOTIFY_FROM
	To             string // NOTIFY_TO
	SMTPURL        string // SMTP_URL
	DiscordWebhook string // DISCORD_WEBHOOK

	Logger *slog.Logger     // of the channel log
	Now    func() time.Time // nil = [time.Now]
	Roots  *x509.CertPool   // who may vouch for the mail server; nil = the system's
	HTTP   *http.Client     // to Discord; nil = one of its own

	// Further are the channels that the caller joins, by name: ses, which only package ses can make.
	Further map[string]func(Mail) (Notifier, error)
}

// New makes the channels that the settings name. Its error names everything that is wrong or missing for those channels,
// one to a line, each with an example, and repeats no value but the names of channels.
func New(s Settings) (Channels, error) {
	if s.Now == nil {
		s.Now = time.Now
	}
	if strings.TrimSpace(s.Notify) == "" {
		s.Notify = "log"
	}
	var channels Channels
	var faults []error
	mail := mailOnce(s)
	for name := range strings.SplitSeq(s.Notify, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		if slices.ContainsFunc(channels, func(c Channel) bool { return c.Name == name }) {
			faults = append(faults, fmt.Errorf("NOTIFY: %s stands there twice; for example log,smtp", name))
			continue
		}
		notifier, err := s.channel(name, mail)
		if err != nil {
			faults = append(faults, err)
		}
		channels = append(channels, Channel{Name: name, Notifier: notifier})
	}
	if len(channels) == 0 {
		faults = append(faults, errors.New("NOTIFY: names no channel; for example log,smtp"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return channels, nil
}

func (s Settings) channel(name string, mail func() (Mail, error)) (Notifier, error) {
	switch {
	case name == "log" && s.Logger != nil:
		return Log{Logger: s.Logger}, nil
	case name == "log":
		return Log{Logger: slog.Default()}, nil
	case name == "smtp":
		m, fault := mail()
		smtp, err := NewSMTP(s.SMTPURL, m, s.Roots)
		return smtp, errors.Join(fault, err)
	case name == "discord":
		return NewDiscord(s.DiscordWebhook, s.HTTP, s.Now)
	case s.Further[name] != nil:
		m, fault := mail()
		further, err := s.Further[name](m)
		return further, errors.Join(fault, err)
	}
	known := slices.Concat([]string{"log", "smtp", "discord"}, slices.Sorted(maps.Keys(s.Further)))
	return nil, fmt.Errorf("NOTIFY: %s is none of the channels that there are here: %s; for example log,smtp", shown(name), strings.Join(known, ", "))
}

// mailOnce reads what SMTP and SES have in common, and tells its faults to the first of them only.
func mailOnce(s Settings) func() (Mail, error) {
	told := false
	return func() (Mail, error) {
		m, err := NewMail(s.From, s.To, s.Now)
		if told {
			return m, nil
		}
		told = true
		return m, err
	}
}

// shown is a mistyped name, and not a secret that was pasted into the wrong setting.
func shown(name string) string {
	if len(name) > 16 || strings.ContainsFunc(name, func(r rune) bool { return r != '-' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }) {
		return "one entry"
	}
	return fmt.Sprintf("%q", name)
}
