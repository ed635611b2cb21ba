package notify

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"golang.org/x/net/idna"

	"github.com/sipeat/sipeat/shared/events"
)

// Composer makes mails of messages. SMTP and SES send the same.
type Composer struct {
	From mail.Address     // checked by [NewComposer]
	To   []string         // for notifications without a recipient; at least one
	Now  func() time.Time // of the header Date
}

// Mail is a message as mail.
type Mail struct {
	*gomail.Msg
	To    []string
	Named bool // the notification named the recipient: a refused address is its fault, and else that of the settings
}

// NewComposer checks a sender, such as "SipEat <notify@example.com>", and the addresses of the staff, separated by commas.
func NewComposer(from, to string, now func() time.Time) (Composer, error) {
	c := Composer{Now: now}
	var faults []error
	var ok bool
	if c.From, ok = sender(from); !ok {
		faults = append(faults, errors.New("NOTIFY_FROM: must be one mail address, ASCII before the @; "+
			`for example "SipEat <notify@example.com>"`))
	}
	for one := range strings.SplitSeq(to, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		plain, ok := address(one)
		if !ok || !isASCII(plain) {
			faults = append(faults, fmt.Errorf("NOTIFY_TO: entry %d is no plain mail address; for example staff@example.com", len(c.To)+1))
		}
		c.To = append(c.To, plain)
	}
	if len(c.To) == 0 {
		faults = append(faults, errors.New("NOTIFY_TO: must name the recipients of notifications that name none; "+
			"for example staff@example.com,owner@example.com"))
	}
	return c, errors.Join(faults...)
}

// sender parses an address that may have a display name. It is ASCII: its host is in each Message-ID, and SES takes no other.
func sender(s string) (mail.Address, bool) {
	parsed, err := mail.ParseAddress(s)
	if err != nil || events.OneLine(parsed.Name, 100) != parsed.Name { // so that its header stays short
		return mail.Address{}, false
	}
	plain, ok := address(parsed.Address)
	return mail.Address{Name: parsed.Name, Address: plain}, ok && isASCII(plain)
}

// hosts may have hyphens where IDNA has its prefix, such as r3---sn.example.com, unlike [idna.Lookup]'s.
var hosts = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.CheckHyphens(false))

// address checks one plain mail address by the rule of the events, and spells its host as every mail server knows it (RFC
// 5891: bücher.example is xn--bcher-kva.example).
func address(s string) (string, bool) {
	if !events.IsEmail(s) {
		return "", false
	}
	at := strings.LastIndexByte(s, '@')
	host, err := hosts.ToASCII(s[at+1:])
	return s[:at+1] + host, err == nil
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 127 })
}

// ASCII reports whether all recipients are; others need SMTPUTF8 (RFC 6531).
func (m Mail) ASCII() bool { return isASCII(strings.Join(m.To, "")) }

// Raw is the mail in the form of RFC 5322.
func (m Mail) Raw() ([]byte, error) {
	var raw bytes.Buffer
	if _, err := m.WriteTo(&raw); err != nil {
		return nil, fmt.Errorf("the mail cannot be written: a %T", err)
	}
	return raw.Bytes(), nil
}

// Compose makes the mail. The same message gives the same mail, Date aside. The error is Invalid.
func (c Composer) Compose(message Message) (Mail, error) {
	m := Mail{Msg: gomail.NewMsg(gomail.WithNoDefaultUserAgent()), To: c.To}
	if named := strings.TrimSpace(message.Recipient); named != "" {
		plain, ok := address(named)
		if !ok {
			return m, events.Errorf(events.Invalid, "the recipient of notification %s is no mail address", events.LogID(message.ID))
		}
		m.To, m.Named = []string{plain}, true
	}
	to := make([]*mail.Address, len(m.To))
	for i, one := range m.To {
		to[i] = &mail.Address{Address: one}
	}
	m.FromMailAddress(&c.From)
	m.ToMailAddress(to...)
	m.Subject(headline(message))
	m.SetDateWithValue(c.Now())
	m.SetMessageIDWithValue(c.messageID(message.ID, "notification"))
	if message.SubjectID != "" { // mails about one subject are one thread
		m.SetGenHeader(gomail.HeaderReferences, "<"+c.messageID(message.SubjectID, message.subject())+">")
	}
	// RFC 3834: no auto-reply answers it, and Exchange has a header of its own for that. There is no Precedence and no List
	// header, because it is one mail to one person.
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader("X-Auto-Response-Suppress", "All")
	m.SetBodyString(gomail.TypeTextPlain, prose(message.Text)+"\n\n-- \nSipEat\n"+message.reference()+"\n")
	return m, nil
}

// headline is the message in one line that fits a list of mails.
func headline(m Message) string {
	about := "SipEat " + m.subject()
	if text := events.OneLine(prose(m.Text), 80); text != "" {
		about += ": " + text
	}
	// What looks like an encoded word (RFC 2047) would be decoded by the reader.
	return strings.ReplaceAll(about, "=?", "= ?")
}

// plainID is an id that can be part of a Message-ID as it is (RFC 5322, dot-atom-text, without dots).
var plainID = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func (c Composer) messageID(id, kind string) string {
	if len(id) > 64 || !plainID.MatchString(id) {
		id = fmt.Sprintf("sha256-%x", sha256.Sum256([]byte(id)))
	}
	_, host, _ := strings.Cut(c.From.Address, "@")
	return kind + "." + id + "@" + host
}
