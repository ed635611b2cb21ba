package notify

import (
	"net/mail"
	"strings"

	"golang.org/x/net/idna"

	"github.com/sipeat/sipeat/shared/events"
)

// address checks one plain mail address by the rule of the events, and gives its host the spelling that every mail server
// knows (RFC 5891: bücher.example is xn--bcher-kva.example).
func address(s string) (string, bool) {
	if events.Validate(struct {
		Address string `json:"address" validate:"address"`
	}{s}) != nil {
		return "", false
	}
	at := strings.LastIndexByte(s, '@')
	host, err := idna.Lookup.ToASCII(s[at+1:])
	if err != nil {
		return "", false
	}
	return s[:at+1] + host, true
}

// sender checks an address that may have a name before it. It is ASCII, since its host is in each Message-ID and SES takes
// no other.
func sender(s string) (mail.Address, bool) {
	parsed, err := mail.ParseAddress(s)
	if err != nil || events.OneLine(parsed.Name, maxName) != parsed.Name {
		return mail.Address{}, false
	}
	plain, ok := address(parsed.Address)
	return mail.Address{Name: parsed.Name, Address: plain}, ok && isASCII(plain)
}

const maxName = 100 // characters of a sender's name, so that its header stays short

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 127 })
}
