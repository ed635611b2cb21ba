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

	"github.com/sipeat/sipeat/shared/events"
)

// Mail turns messages into letters. SMTP and SES send the same.
type Mail struct {
	From mail.Address     // checked by [NewMail]
	To   []string         // who is told where a notification names nobody
	Now  func() time.Time // of the header Date
}

// Letter is a message as mail.
type Letter struct {
	From  string
	To    []string
	Named bool   // To was named by the notification: a refused address is its fault, and else that of the settings
	Raw   []byte // RFC 5322, lines ended by CRLF
}

// NewMail checks a sender, such as "SipEat <notify@example.com>", and the addresses of the staff, separated by commas.
func NewMail(from, to string, now func() time.Time) (Mail, error) {
	m := Mail{Now: now}
	var faults []error
	var ok bool
	if m.From, ok = sender(from); !ok {
		faults = append(faults, errors.New(`NOTIFY_FROM: mail needs one address as its sender, in ASCII before the @; for example "SipEat <notify@example.com>"`))
	}
	for one := range strings.SplitSeq(to, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		plain, ok := address(one)
		if !ok || !isASCII(plain) {
			faults = append(faults, fmt.Errorf("NOTIFY_TO: entry %d is no plain mail address; for example staff@example.com", len(m.To)+1))
		}
		m.To = append(m.To, plain)
	}
	if len(m.To) == 0 {
		faults = append(faults, errors.New("NOTIFY_TO: mail needs the addresses for what names no recipient; for example staff@example.com,owner@example.com"))
	}
	return m, errors.Join(faults...)
}

// Compose writes the letter. The same message gives the same letter, Date aside.
func (m Mail) Compose(message Message) (Letter, error) {
	letter := Letter{From: m.From.Address, To: m.To}
	if named := strings.TrimSpace(message.Recipient); named != "" {
		plain, ok := address(named)
		if !ok {
			return letter, events.Errorf(events.Invalid, "the recipient of notification %s is no mail address", events.OneLine(message.ID, maxID))
		}
		letter.To, letter.Named = []string{plain}, true
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(&m.From)
	to := make([]*mail.Address, len(letter.To))
	for i, one := range letter.To {
		to[i] = &mail.Address{Address: one}
	}
	msg.ToMailAddress(to...)
	msg.Subject(headline(message))
	msg.SetDateWithValue(m.Now())
	msg.SetMessageIDWithValue(m.messageID(message.ID, "notification"))
	if message.SubjectID != "" { // mails about one thing are one thread
		msg.SetGenHeader(gomail.HeaderReferences, "<"+m.messageID(message.SubjectID, message.subject())+">")
	}
	// RFC 3834: nobody's holiday answers it, and Exchange has a header of its own for that. There is no Precedence and no
	// List header, because it is one letter to one person and not a mailing.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("X-Auto-Response-Suppress", "All")
	msg.SetBodyString(gomail.TypeTextPlain, prose(message.Text)+"\n\n-- \nSipEat\n"+message.reference()+"\n")
	var raw bytes.Buffer
	if _, err := msg.WriteTo(&raw); err != nil {
		return letter, fmt.Errorf("the mail for notification %s cannot be written: a %T", events.OneLine(message.ID, maxID), err)
	}
	letter.Raw = raw.Bytes()
	return letter, nil
}

// headline is what the letter is about, in one line that fits a list of mails.
func headline(m Message) string {
	about := "SipEat " + m.subject()
	if text := events.OneLine(prose(m.Text), 80); text != "" {
		about += ": " + text
	}
	// What looks like an encoded word (RFC 2047) would be decoded by the reader.
	return strings.ReplaceAll(about, "=?", "= ?")
}

// plainID is an id that can stand in a Message-ID as it is (RFC 5322, dot-atom-text, without dots).
var plainID = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func (m Mail) messageID(id, kind string) string {
	if len(id) > 64 || !plainID.MatchString(id) {
		id = fmt.Sprintf("sha256-%x", sha256.Sum256([]byte(id)))
	}
	_, host, _ := strings.Cut(m.From.Address, "@")
	return kind + "." + id + "@" + host
}
