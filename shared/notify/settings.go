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

// Settings are those of the environment, unparsed. Empty strings are not set.
type Settings struct {
	Notify         string // NOTIFY: channels, separated by commas; by default log
	From           string // NOTIFY_FROM
	To             string // NOTIFY_TO
	SMTPURL        string // SMTP_URL
	DiscordWebhook string // DISCORD_WEBHOOK

	Logger *slog.Logger     // of the channel log; nil = the default one
	Now    func() time.Time // nil = [time.Now]
	Roots  *x509.CertPool   // verify the mail server's certificate; nil = the system's
	HTTP   *http.Client     // to Discord; nil = one of its own

	// Extra are channels of other packages, by name: ses, which only package ses can open.
	Extra map[string]func(Composer) (Notifier, error)
}

// New opens the channels that the settings name. Its error lists everything that is wrong or missing for those channels, one
// to a line, each with an example, and repeats no value: it could be a secret in the wrong place.
func New(s Settings) (Channels, error) {
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Logger == nil {
		s.Logger = slog.Default()
	}
	if strings.TrimSpace(s.Notify) == "" {
		s.Notify = "log"
	}
	composer, mailFault := NewComposer(s.From, s.To, s.Now)
	open := map[string]func() (Notifier, error){
		"log":     func() (Notifier, error) { return Log{Logger: s.Logger}, nil },
		"smtp":    func() (Notifier, error) { return NewSMTP(s.SMTPURL, composer, s.Roots) },
		"discord": func() (Notifier, error) { return NewDiscord(s.DiscordWebhook, s.HTTP, s.Now) },
	}
	for name, join := range s.Extra {
		open[name] = func() (Notifier, error) { return join(composer) }
	}
	var channels Channels
	var faults []error
	for i, name := range strings.Split(s.Notify, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		if slices.ContainsFunc(channels, func(c Channel) bool { return c.Name == name }) || open[name] == nil {
			known := slices.Sorted(maps.Keys(open))
			faults = append(faults, fmt.Errorf("NOTIFY: entry %d must be one of %s, each once; for example log,smtp", i+1,
				strings.Join(known, ", ")))
			continue
		}
		notifier, err := open[name]()
		if name != "log" && name != "discord" {
			err = errors.Join(mailFault, err)
			mailFault = nil // reported once
		}
		if err != nil {
			faults = append(faults, err)
		}
		channels = append(channels, Channel{Name: name, Notifier: notifier})
	}
	if len(channels)+len(faults) == 0 {
		faults = append(faults, errors.New("NOTIFY: names no channel; for example log,smtp"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return channels, nil
}
