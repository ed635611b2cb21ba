package notify_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/notify/notifytest"
)

func TestSMTP(t *testing.T) {
	notifytest.Run(t, func(t *testing.T) notifytest.Subject {
		p := newPost(t, offersStartTLS)
		refuse := func(at string, code int, enhanced smtp.EnhancedCode) func() {
			return func() {
				p.fail[at] = &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: "<canary@recipient.example> " + password}
			}
		}
		return notifytest.Subject{
			Notifier: newSMTP(t, "smtp://"+escaped+"@"+p.address, p.roots),
			Told: func() []string {
				var told []string
				for _, l := range p.received() {
					assert.Equal(t, user, l.user)
					header, subject, text := l.parsed(t)
					told = append(told, header.Get("Message-ID")+subject+"\n"+text)
				}
				return told
			},
			Outages: map[string]func(){
				"a login that is refused":   refuse("AUTH", 535, smtp.EnhancedCode{5, 7, 8}),
				"a sender that is refused":  refuse("MAIL", 550, smtp.EnhancedCode{5, 7, 1}),
				"a relay that is none":      refuse("RCPT", 554, smtp.EnhancedCode{5, 7, 1}),
				"a grey list":               refuse("RCPT", 451, smtp.EnhancedCode{4, 7, 1}),
				"a full disk":               refuse("DATA", 452, smtp.EnhancedCode{4, 3, 1}),
				"a server that is vanished": func() { p.vanish = true },
			},
			Refusals: map[string]func(){
				"no such mailbox":        refuse("RCPT", 550, smtp.EnhancedCode{5, 1, 1}),
				"a mailbox that is shut": refuse("RCPT", 550, smtp.EnhancedCode{5, 2, 1}),
				"too large":              refuse("DATA", 552, smtp.EnhancedCode{5, 3, 4}),
			},
			Unclear: map[string]func(){
				"no transaction":         refuse("DATA", 554, smtp.EnhancedCode{5, 0, 0}),
				"a policy about content": refuse("DATA", 550, smtp.EnhancedCode{5, 7, 1}),
			},
			Hang:    func() <-chan struct{} { p.hang = make(chan struct{}, 2); return p.hang },
			Secrets: []string{user, password, "pass%2F"},
		}
	})
}

// TestRefusalsAtEveryStage: whose fault it is, by step and code. Invalid ones are the event's only if it named the address.
func TestRefusalsAtEveryStage(t *testing.T) {
	for _, c := range []struct {
		stage, answer string
		kind          events.Kind
	}{
		{"greeting", "554 5.3.2 not today", events.Unavailable},
		{"greeting", "421 busy", events.Unavailable},
		{"greeting", "HTTP/1.1 400 Bad Request", events.Unavailable},
		{"EHLO", "550 who are you", events.Unavailable},
		{"MAIL", "550 5.1.8 sender", events.Unavailable},
		{"MAIL", "530 5.7.0 log in", events.Unavailable},
		{"RCPT", "550 no such user", events.Invalid},
		{"RCPT", "551 gone away", events.Invalid},
		{"RCPT", "553 not a name", events.Invalid},
		{"RCPT", "550 5.1.1 no such user", events.Invalid},
		{"RCPT", "550 5.1.10 null MX", events.Invalid},
		{"RCPT", "556 5.1.10 null MX", events.Invalid},
		{"RCPT", "550 5.4.4 no such host", events.Invalid},
		{"RCPT", "552 5.2.2 full", events.Invalid},
		{"RCPT", "550 relaying denied", events.Unavailable},
		{"RCPT", "550 5.7.1 policy", events.Unavailable},
		{"RCPT", "530 5.7.0 log in", events.Unavailable},
		{"RCPT", "552 too many recipients", events.Unavailable},
		{"RCPT", "550 5.1.7 sender", events.Unavailable},
		{"RCPT", "450 5.1.1 a server that errs", events.Unavailable},
		{"RCPT", "452 4.5.3 too many", events.Unavailable},
		{"RCPT", "550 5.4.1 access denied", events.Unknown},
		{"RCPT", "500 what", events.Unknown},
		{"DATA", "451 later", events.Unavailable},
		{"DATA", "550 5.1.1 no such user", events.Invalid},
		{"DATA", "554 no valid recipients", events.Unknown},
		{"end", "550 5.6.0 not that format", events.Invalid},
		{"end", "552 too large", events.Invalid},
		{"end", "554 5.2.2 the sender's mailbox is full", events.Unknown},
		{"end", "554 spam", events.Unknown},
		{"end", "451 4.3.0 later", events.Unavailable},
	} {
		t.Run(c.stage+" "+c.answer, func(t *testing.T) {
			n := newSMTP(t, "smtp://"+script(t, map[string]string{c.stage: c.answer}), nil)
			err := n.Notify(t.Context(), notifytest.Message("n-1"))
			assert.Equal(t, c.kind, events.KindOf(err), "%v", err)
			assert.NotContains(t, fmt.Sprint(err), "CANARY")
			assert.NotContains(t, fmt.Sprint(err), "canary@")

			staff := notifytest.Message("n-1")
			staff.Recipient = ""
			kind := events.KindOf(n.Notify(t.Context(), staff))
			if c.kind == events.Invalid && !(c.stage == "end") {
				assert.Equal(t, events.Unavailable, kind, "an address of the settings")
			} else {
				assert.Equal(t, c.kind, kind)
			}
		})
	}
}

func TestALetterOfUnknownFateSaysSo(t *testing.T) {
	n := newSMTP(t, "smtp://"+script(t, map[string]string{"end": ""}), nil)
	err := n.Notify(t.Context(), notifytest.Message("n-1"))
	assert.Equal(t, events.Unavailable, events.KindOf(err))
	assert.ErrorContains(t, err, "did not say whether it took the mail; it is sent again, with the same Message-ID")
}

func TestWhatIsTakenIsDeliveredWhateverComesOfTheFarewell(t *testing.T) {
	for _, answer := range []string{"", "500 no"} {
		n := newSMTP(t, "smtp://"+script(t, map[string]string{"QUIT": answer}), nil)
		assert.NoError(t, n.Notify(t.Context(), notifytest.Message("n-1")))
	}
}

func TestLogins(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		for scheme, o := range map[string]offer{"smtp": offersStartTLS, "smtps": speaksTLS} {
			p := newPost(t, o)
			p.login = []string{mechanism}
			n := newSMTP(t, scheme+"://"+escaped+"@"+p.address, p.roots)
			require.NoError(t, n.Notify(t.Context(), notifytest.Message("n-1")), "%s %s", scheme, mechanism)
			assert.Equal(t, user, p.received()[0].user)
		}
	}
	p := newPost(t, offersStartTLS)
	p.login = []string{"XOAUTH2"}
	err := newSMTP(t, "smtp://"+escaped+"@"+p.address, p.roots).Notify(t.Context(), notifytest.Message("n-1"))
	assert.Equal(t, events.Unavailable, events.KindOf(err))
	assert.ErrorContains(t, err, "offers none of the logins")
}

func TestTLSIsNeverDoneWithout(t *testing.T) {
	p := newPost(t, offersStartTLS)
	for what, err := range map[string]error{
		"a server nobody vouches for": newSMTP(t, "smtp://"+p.address+"?tls=starttls", nil).Notify(t.Context(), notifytest.Message("n-1")),
		"no STARTTLS":                 newSMTP(t, "smtp://"+escaped+"@"+newPost(t, knowsNoTLS).address, nil).Notify(t.Context(), notifytest.Message("n-1")),
		"TLS where there is none":     newSMTP(t, "smtps://"+newPost(t, knowsNoTLS).address, nil).Notify(t.Context(), notifytest.Message("n-1")),
	} {
		assert.Equal(t, events.Unavailable, events.KindOf(err), "%s: %v", what, err)
		assert.NotEmpty(t, err.Error())
	}
	assert.Empty(t, p.received())
	require.NoError(t, newSMTP(t, "smtp://"+p.address, nil).Notify(t.Context(), notifytest.Message("n-1")), "plain on loopback")
}

// TestNothingIsLeftRunning: whatever became of a message, its connection and goroutines are gone, and a few connections
// carry a burst.
func TestNothingIsLeftRunning(t *testing.T) {
	p := newPost(t, knowsNoTLS)
	before := runtime.NumGoroutine()
	n := newSMTP(t, "smtp://"+p.address+"?connections=2", nil)
	done := make(chan error)
	for i := range 100 {
		go func() { done <- n.Notify(t.Context(), notifytest.Message(fmt.Sprint("n-", i))) }()
	}
	for range 100 {
		assert.NoError(t, <-done)
	}
	for _, address := range []string{script(t, map[string]string{"greeting": "554 no"}), script(t, map[string]string{"RCPT": "550 no"}), "127.0.0.1:1"} {
		assert.Error(t, newSMTP(t, "smtp://"+address, nil).Notify(t.Context(), notifytest.Message("n-1")))
	}
	assert.Len(t, p.received(), 100)
	assert.LessOrEqual(t, p.most, 2, "at a time")
	assert.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+4 }, 5*time.Second, time.Millisecond, "two scripts, and the watcher of this line")
}

func TestWaitingForAConnectionEndsWithTheContext(t *testing.T) {
	p := newPost(t, knowsNoTLS)
	p.hang = make(chan struct{}, 1)
	n := newSMTP(t, "smtp://"+p.address+"?connections=1", nil)
	first, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- n.Notify(first, notifytest.Message("n-1")) }()
	<-p.hang
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := n.Notify(ctx, notifytest.Message("n-2"))
	assert.Equal(t, events.Unavailable, events.KindOf(err))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	stop()
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestAddressesOfOtherLetters(t *testing.T) {
	p := newPost(t, knowsNoTLS)
	n := newSMTP(t, "smtp://"+p.address, nil)
	for address, want := range map[string]struct {
		to   string
		utf8 bool
	}{
		"ada@bücher.example":  {"ada@xn--bcher-kva.example", false},
		"jürgen@example.com":  {"jürgen@example.com", true},
		"Ada.L+x@Example.com": {"Ada.L+x@example.com", false},
	} {
		m := notify.Message{ID: "n", Type: "contact", Text: "x", Recipient: address}
		require.NoError(t, n.Notify(t.Context(), m))
		last := p.received()[len(p.received())-1]
		assert.True(t, strings.EqualFold(want.to, last.to[0]), last.to[0])
		assert.Equal(t, want.utf8, last.utf8, address)
	}
	old := newSMTP(t, "smtp://"+script(t, nil), nil) // knows no SMTPUTF8
	assert.Equal(t, events.Invalid, events.KindOf(old.Notify(t.Context(), notify.Message{ID: "n", Recipient: "jürgen@example.com"})))
}
