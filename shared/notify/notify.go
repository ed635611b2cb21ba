// Package notify delivers notifications: to the log, by mail over SMTP, to a Discord webhook, and by Amazon SES, which has a
// package of its own so that nothing else links the AWS SDK. [New] opens the channels that the settings name.
//
// A notification with a recipient is mailed to that address; one without goes to the addresses of NOTIFY_TO. Discord and the
// log are for staff: they get every notification and no address.
//
// Guarantees of every [Notifier], tested by package notifytest:
//
//   - It returns nil once the receiver has accepted the message. A message whose acceptance is unknown counts as failed: it
//     is sent again and may arrive twice, but never not at all. A repeated mail has the same Message-ID (SES replaces it, and
//     Discord does not recognise repeats).
//   - Its errors are those of package events. Invalid: this message was refused for good. Unavailable: an outage, a limit, a
//     login, a right or a policy, with the wait that the receiver requested; with EventOnly where the receiver accepts other
//     recipients. Unknown: refused without a reason in the answer.
//   - It returns when its context ends, and leaves nothing running.
//   - No error text contains any of the message, an address or a secret. Servers quote what they were sent, so their texts are
//     read and never repeated.
//
// The package neither retries nor remembers what it delivered: the delivery engine retries, and a claim per [Channel]
// remembers.
package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"unicode/utf16"

	"github.com/sipeat/sipeat/shared/events"
)

// Message is one notification.
type Message struct {
	ID        string // of the notification; a repeat has the same
	EventID   string
	Type      string // contact, machine or request
	SubjectID string // of the contact, machine or request; may be empty
	Recipient string // an e-mail address; empty = the addresses of NOTIFY_TO
	Text      string
}

// subject is the kind of the notification's subject. A foreign type is not repeated.
func (m Message) subject() string {
	switch m.Type {
	case "contact", "machine", "request":
		return m.Type
	}
	return "notification"
}

func (m Message) reference() string {
	var lines []string
	if id := events.LogID(m.SubjectID); id != "" {
		lines = append(lines, m.subject()+" "+id)
	}
	if id := events.LogID(m.ID); id != "" {
		lines = append(lines, "notification "+id)
	}
	return strings.Join(lines, "\n")
}

// Notifier delivers messages.
type Notifier interface {
	// Notify returns nil when the receiver has accepted the message; see the package for its errors.
	Notify(ctx context.Context, m Message) error
}

// Prober is a notifier that can check its receiver without delivering anything. The result is one sentence for an operator;
// errors are those of [Notifier.Notify].
type Prober interface {
	Probe(ctx context.Context) (result string, err error)
}

// Log logs that there is a notification, and its ids. The text is about people and is not logged.
type Log struct{ Logger *slog.Logger }

func (l Log) Notify(ctx context.Context, m Message) error {
	if ctx.Err() != nil {
		return unavailable(ctx.Err(), "not logged")
	}
	l.Logger.InfoContext(ctx, "notification", "type", m.subject(), "notification_id", events.LogID(m.ID),
		"subject_id", events.LogID(m.SubjectID), "event_id", events.LogID(m.EventID))
	return nil
}

// Cause is the part of a connection's error that may be logged. Errors of libraries contain URLs (a webhook's is its secret)
// and server texts (which quote what the server was sent), so only errors known to contain neither are repeated; of any other
// the type is named.
func Cause(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return ended // and not the closed connection that it led to
	}
	for _, known := range []error{context.DeadlineExceeded, context.Canceled, io.ErrUnexpectedEOF, io.EOF} {
		if errors.Is(err, known) {
			return known
		}
	}
	if e, ok := errors.AsType[*net.OpError](err); ok { // of addresses and system calls; refusals of TLS too
		return e
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return e
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return errors.New(e.Msg)
	}
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return fmt.Errorf("a %T", err)
}

// Unreached reports whether err means that no connection was made: the receiver has not seen the message.
func Unreached(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "dial"
}

func unavailable(cause error, format string, args ...any) error {
	return events.Wrap(events.Unavailable, cause, format, args...)
}

// prose keeps lines and tabs of a text, and removes what a terminal or a reader would obey: controls, and the bidirectional
// overrides with which text can imitate other text (Unicode TR 36).
func prose(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n").Replace(text)
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if events.IsControl(r) {
			return -1
		}
		return r
	}, text))
}

// units is the length of a text in UTF-16 code units.
func units(text string) int { return len(utf16.Encode([]rune(text))) }

// cut shortens a text to at most limit UTF-16 code units, between two characters.
func cut(text string, limit int) string {
	all := utf16.Encode([]rune(text))
	if len(all) <= limit {
		return text
	}
	return strings.TrimSuffix(string(utf16.Decode(all[:limit-1])), "\uFFFD") + "…" // the half of a character
}
