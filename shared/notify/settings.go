package notify

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
)

// Options are what channels need in addition to their settings.
type Options struct {
	Logger *slog.Logger                     // of the channel log; nil = the default one
	Now    func() time.Time                 // nil = [time.Now]
	Roots  *x509.CertPool                   // verify the mail server's certificate; nil = the system's
	HTTP   *http.Client                     // to Discord; nil = one of its own
	SES    func(Composer) (Notifier, error) // opens the channel ses, which only package ses can; nil = there is none
}

// New opens the channels that the settings name. Its error lists everything that is wrong or missing for those channels, one
// to a line, each with an example, and repeats no value: it could be a secret in the wrong place.
func New(s settings.Notify, o Options) (Channels, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	composer, mailFault := NewComposer(s.From, s.To, o.Now)
	open := map[string]func() (Notifier, error){
		"log":     func() (Notifier, error) { return Log{Logger: cmp.Or(o.Logger, slog.Default())}, nil },
		"smtp":    func() (Notifier, error) { return NewSMTP(s.SMTPURL, composer, o.Roots) },
		"discord": func() (Notifier, error) { return NewDiscord(s.DiscordWebhook, o.HTTP, o.Now) },
	}
	if o.SES != nil {
		open["ses"] = func() (Notifier, error) { return o.SES(composer) }
	}
	var channels Channels
	var faults []error
	for i, name := range strings.Split(s.Channels, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if slices.ContainsFunc(channels, func(c Channel) bool { return c.Name == name }) || open[name] == nil {
			faults = append(faults, fmt.Errorf("NOTIFY: entry %d must be one of %s, each once; for example log,smtp", i+1,
				strings.Join(slices.Sorted(maps.Keys(open)), ", ")))
			continue
		}
		notifier, err := open[name]()
		if name == "smtp" || name == "ses" {
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
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return channels, nil
}
