package notify

import (
	"errors"
	"fmt"
	"net/textproto"
	"regexp"
	"strings"

	"github.com/sipeat/sipeat/shared/events"
)

// reply is what a mail server answered: its code (RFC 5321, 4.2), its enhanced code if it has one (RFC 3463, and the
// registry https://www.iana.org/assignments/smtp-enhanced-status-codes), and its text, which is read and never shown.
type reply struct {
	code     int
	enhanced string // "1.1" of 5.1.1
	text     string
}

var enhancedCode = regexp.MustCompile(`^[245]\.(\d{1,3}\.\d{1,3})\b`)

func replyOf(err error) (reply, bool) {
	e, ok := errors.AsType[*textproto.Error](err)
	if !ok {
		return reply{}, false
	}
	r := reply{code: e.Code, text: strings.ToLower(e.Msg)}
	if m := enhancedCode.FindStringSubmatch(e.Msg); m != nil {
		r.enhanced = m[1]
	}
	return r, true
}

func (r reply) String() string {
	if r.enhanced == "" {
		return fmt.Sprint(r.code)
	}
	return fmt.Sprintf("%d %d.%s", r.code, r.code/100, r.enhanced)
}

// subject is the second number of the enhanced code.
func (r reply) subject() string {
	s, _, _ := strings.Cut(r.enhanced, ".")
	return s
}

// verdict says whose fault a refusal is: Invalid, the event's; Unavailable, ours or a passing one; Unknown, nobody says.
// Named tells that the event names the recipient: an address from the settings is never the event's fault.
func (r reply) verdict(at stage, named bool) events.Kind {
	switch {
	case r.code < 500: // 4xx passes by itself; 2xx and 3xx are not what that command can have as its answer
		return events.Unavailable
	case at != stageRecipient && at != stageData && at != stageEnd:
		return events.Unavailable // who we are, what we may, or our own address
	case r.refusesRecipient(at):
		if named {
			return events.Invalid
		}
		return events.Unavailable
	case r.refusesContent(at):
		return events.Invalid
	case at == stageRecipient && r.refusesUs():
		return events.Unavailable
	default:
		// After the content a policy (5.7.1) may be about it or about us; the engine tells one event's fault from that of all.
		return events.Unknown
	}
}

// refusesRecipient: the address or, at RCPT, its mailbox (5.1 and 5.2; 5.1.7 and 5.1.8 are the sender's, and 5.2 at the end
// may be the sender's mailbox: Exchange Online says so when that one is full); a host that cannot be found or takes no mail
// (5.4.4; 5.1.10 and 556, RFC 7505 and 7504); letters it does not know (5.6.7); of servers without enhanced codes 550, 551
// and 553.
func (r reply) refusesRecipient(at stage) bool {
	if r.code < 500 || at != stageRecipient && at != stageData && at != stageEnd {
		return false
	}
	switch r.enhanced {
	case "1.7", "1.8":
		return false
	case "4.4", "6.7":
		return true
	case "":
		return at == stageRecipient && !strings.Contains(r.text, "relay") &&
			(r.code == 550 || r.code == 551 || r.code == 553 || r.code == 556)
	}
	return r.subject() == "1" || r.subject() == "2" && at == stageRecipient
}

// refusesContent: too large, or a format it does not take (5.2.3, 5.3.4, 5.6).
func (r reply) refusesContent(at stage) bool {
	return at == stageEnd && (r.enhanced == "3.4" || r.subject() == "6" || r.enhanced == "" && r.code == 552)
}

// refusesUs: security and policy (5.7), a login that is missing or too weak (530, 534, 535, 538), a sender it does not
// take (5.1.7, 5.1.8), relaying, and 552, which at RCPT is a server that has too much to do (RFC 5321, 4.5.3.1.10).
func (r reply) refusesUs() bool {
	switch r.code {
	case 530, 534, 535, 538, 552:
		return true
	}
	return r.subject() == "7" || r.enhanced == "1.7" || r.enhanced == "1.8" || strings.Contains(r.text, "relay")
}
