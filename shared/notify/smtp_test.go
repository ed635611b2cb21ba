package notify_test

import (
	"context"
	"errors"
	"fmt"
	"net"
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
		p := newMailServer(t, offersStartTLS)
		refuse := func(at string, code int, enhanced smtp.EnhancedCode) func() {
			return func() {
				p.fail[at] = &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: "<canary@recipient.example> " + password}
			}
		}
		return notifytest.Subject{
			Notifier: newSMTP(t, "smtp://"+escaped+"@"+p.address, p.roots),
			Delivered: func() []string {
				var delivered []string
				for _, m := range p.accepted() {
					assert.Equal(t, user, m.user)
					header, subject, text := m.parsed(t)
					delivered = append(delivered, header.Get("Message-ID")+subject+"\n"+text)
				}
				return delivered
			},
			Outages: map[string]func(){
				"a refused login":              refuse("AUTH", 535, smtp.EnhancedCode{5, 7, 8}),
				"a refused sender":             refuse("MAIL", 550, smtp.EnhancedCode{5, 7, 1}),
				"no relaying":                  refuse("RCPT", 554, smtp.EnhancedCode{5, 7, 1}),
				"a grey list":                  refuse("RCPT", 451, smtp.EnhancedCode{4, 7, 1}),
				"a server that refuses us all": refuse("RCPT all", 550, smtp.EnhancedCode{5, 1, 1}),
				"a full disk":                  refuse("DATA", 452, smtp.EnhancedCode{4, 3, 1}),
				"a broken connection":          func() { p.vanish = true },
			},
			Refusals: map[string]func(){
				"no such mailbox":    refuse("RCPT", 550, smtp.EnhancedCode{5, 1, 1}),
				"a disabled mailbox": refuse("RCPT", 550, smtp.EnhancedCode{5, 2, 1}),
			},
			Unclear: map[string]func(){
				"no transaction":         refuse("DATA", 554, smtp.EnhancedCode{5, 0, 0}),
				"a policy about content": refuse("DATA", 550, smtp.EnhancedCode{5, 7, 1}),
				"too large":              refuse("DATA", 552, smtp.EnhancedCode{5, 3, 4}),
			},
			Hang:    func() <-chan struct{} { p.hang = make(chan struct{}, 2); return p.hang },
			Secrets: []string{user, password, "pass%2F"},
		}
	})
}

// A refusal is the message's fault only if the message named the recipient and the server accepts another.
func TestRefusalsByCommand(t *testing.T) {
	for _, c := range []struct {
		command, answer string
		kind            events.Kind
		recipient       bool // concerns the recipient alone
	}{
		{"greeting", "554 5.3.2 not today", events.Unavailable, false},
		{"greeting", "421 busy", events.Unavailable, false},
		{"greeting", "HTTP/1.1 400 Bad Request", events.Unavailable, false},
		{"MAIL", "550 5.1.8 sender", events.Unavailable, false},
		{"MAIL", "450 4.1.8 sender", events.Unavailable, false},
		{"RCPT", "550 no such user", events.Invalid, false},
		{"RCPT", "550 5.1.1 no such user", events.Invalid, false},
		{"RCPT", "552 5.2.2 full", events.Invalid, false},
		{"RCPT", "550 5.7.1 relaying denied", events.Unavailable, false},
		{"RCPT", "450 4.2.1 mailbox busy", events.Unavailable, true},
		{"RCPT", "451 grey list", events.Unavailable, true},
		{"RCPT all", "550 no such user", events.Unavailable, false},
		{"RCPT all", "450 4.3.2 not now", events.Unavailable, false},
		{"DATA", "451 later", events.Unavailable, false},
		{"DATA", "554 no valid recipients", events.Unknown, false},
		{"end", "552 too large", events.Unknown, false},
		{"end", "451 4.3.0 later", events.Unavailable, false},
	} {
		t.Run(c.command+" "+c.answer, func(t *testing.T) {
			n := newSMTP(t, "smtp://"+script(t, map[string]string{c.command: c.answer}), nil)
			err := n.Notify(t.Context(), notifytest.Message("n-1"))
			assert.Equal(t, c.kind, events.KindOf(err), "%v", err)
			assert.Equal(t, c.recipient, eventOnly(err), "%v", err)
			assert.NotContains(t, fmt.Sprint(err), "CANARY")
			assert.NotContains(t, fmt.Sprint(err), "canary@")

			staff := notifytest.Message("n-1")
			staff.Recipient = ""
			err = n.Notify(t.Context(), staff)
			if c.kind == events.Invalid || c.recipient {
				assert.NotEqual(t, events.Invalid, events.KindOf(err), "an address of the settings")
				assert.False(t, eventOnly(err))
			} else {
				assert.Equal(t, c.kind, events.KindOf(err))
			}
		})
	}
}

func eventOnly(err error) bool {
	var e *events.Error
	return errors.As(err, &e) && e.EventOnly
}

func TestUnknownAcceptanceIsReported(t *testing.T) {
	n := newSMTP(t, "smtp://"+script(t, map[string]string{"end": ""}), nil)
	err := n.Notify(t.Context(), notifytest.Message("n-1"))
	assert.Equal(t, events.Unavailable, events.KindOf(err))
	assert.ErrorContains(t, err, "did not confirm the mail; it is sent again with the same Message-ID")
}

func TestAnAcceptedMailIsDeliveredWhateverQUITReturns(t *testing.T) {
	for _, answer := range []string{"", "500 no"} {
		n := newSMTP(t, "smtp://"+script(t, map[string]string{"QUIT": answer}), nil)
		assert.NoError(t, n.Notify(t.Context(), notifytest.Message("n-1")))
	}
}

func TestLogins(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		for scheme, o := range map[string]offer{"smtp": offersStartTLS, "smtps": speaksTLS} {
			p := newMailServer(t, o)
			p.login = []string{mechanism}
			n := newSMTP(t, scheme+"://"+escaped+"@"+p.address, p.roots)
			require.NoError(t, n.Notify(t.Context(), notifytest.Message("n-1")), "%s %s", scheme, mechanism)
			assert.Equal(t, user, p.accepted()[0].user)
		}
	}
	p := newMailServer(t, offersStartTLS)
	p.login = []string{"XOAUTH2"}
	err := newSMTP(t, "smtp://"+escaped+"@"+p.address, p.roots).Notify(t.Context(), notifytest.Message("n-1"))
	assert.Equal(t, events.Unavailable, events.KindOf(err))
	assert.ErrorContains(t, err, "offers none of PLAIN, LOGIN")
}

func TestTLSIsRequired(t *testing.T) {
	p := newMailServer(t, offersStartTLS)
	for what, c := range map[string]struct {
		notifier notify.Notifier
		text     string
	}{
		"an unknown certificate authority": {newSMTP(t, "smtp://"+p.address+"?tls=starttls", nil), "certificate"},
		"no STARTTLS": {newSMTP(t, "smtp://"+escaped+"@"+newMailServer(t, knowsNoTLS).address, nil),
			"STARTTLS: not offered"},
		"TLS of a plain server": {newSMTP(t, "smtps://"+newMailServer(t, knowsNoTLS).address, nil),
			"does not look like a TLS handshake"},
	} {
		err := c.notifier.Notify(t.Context(), notifytest.Message("n-1"))
		assert.Equal(t, events.Unavailable, events.KindOf(err), "%s: %v", what, err)
		assert.ErrorContains(t, err, c.text)
	}
	assert.Empty(t, p.accepted())
	require.NoError(t, newSMTP(t, "smtp://"+p.address, nil).Notify(t.Context(), notifytest.Message("n-1")), "plain on loopback")
}

func TestConnectionsAreBoundedAndClosed(t *testing.T) {
	p := newMailServer(t, knowsNoTLS)
	before := runtime.NumGoroutine()
	n := newSMTP(t, "smtp://"+p.address+"?connections=2", nil)
	done := make(chan error)
	for i := range 100 {
		go func() { done <- n.Notify(t.Context(), notifytest.Message(fmt.Sprint("n-", i))) }()
	}
	for range 100 {
		assert.NoError(t, <-done)
	}
	for _, address := range []string{
		script(t, map[string]string{"greeting": "554 no"}), script(t, map[string]string{"RCPT": "550 no"}), script(t,
			map[string]string{"AUTH": "535 no"}), "127.0.0.1:1",
	} {
		assert.Error(t, newSMTP(t, "smtp://"+address+"?tls=starttls", nil).Notify(t.Context(), notifytest.Message("n-1")))
	}
	assert.Len(t, p.accepted(), 100)
	assert.LessOrEqual(t, p.most, 2, "at a time")
	assert.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+5 }, 5*time.Second, time.Millisecond,
		"three scripts, and the watcher of this line")
}

func TestWaitingForAConnectionEndsWithTheContext(t *testing.T) {
	p := newMailServer(t, knowsNoTLS)
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

func TestInternationalAddresses(t *testing.T) {
	p := newMailServer(t, knowsNoTLS)
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
		last := p.accepted()[len(p.accepted())-1]
		assert.True(t, strings.EqualFold(want.to, last.to[0]), last.to[0])
		assert.Equal(t, want.utf8, last.utf8, address)
	}
	old := newSMTP(t, "smtp://"+script(t, nil), nil) // knows no SMTPUTF8
	assert.Equal(t, events.Invalid, events.KindOf(old.Notify(t.Context(), notify.Message{ID: "n",
		Recipient: "jürgen@example.com"})))
}

func TestSMTPProbe(t *testing.T) {
	for name, c := range map[string]struct {
		url    func(*mailServer) string
		offer  offer
		fail   string
		result string
		failed []string
	}{
		"STARTTLS and login": {func(p *mailServer) string { return "smtp://" + escaped + "@" + p.address }, offersStartTLS, "",
			"answers, TLS ok, login ok", nil},
		"TLS and login": {func(p *mailServer) string { return "smtps://" + escaped + "@" + p.address }, speaksTLS, "",
			"answers, TLS ok, login ok", nil},
		"neither": {func(p *mailServer) string { return "smtp://" + p.address }, knowsNoTLS, "", "answers", nil},
		"no STARTTLS": {func(p *mailServer) string { return "smtp://" + p.address + "?tls=starttls" }, knowsNoTLS, "", "",
			[]string{"STARTTLS"}},
		"a wrong password": {func(p *mailServer) string { return "smtp://user-canary:wrong@" + p.address }, offersStartTLS, "", "",
			[]string{"AUTH"}},
		"a refused login": {func(p *mailServer) string { return "smtp://" + escaped + "@" + p.address }, offersStartTLS, "AUTH",
			"", []string{"535", "AUTH"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newMailServer(t, c.offer)
			if c.fail != "" {
				p.fail[c.fail] = &smtp.SMTPError{Code: 535, Message: password}
			}
			p.fail["MAIL"] = &smtp.SMTPError{Code: 550, Message: "a probe sends nothing"}
			result, err := prober(t, newSMTP(t, c.url(p), p.roots)).Probe(t.Context())
			if c.failed == nil {
				require.NoError(t, err)
				assert.Equal(t, "the mail server "+p.address+" "+c.result, result)
			}
			for _, text := range c.failed {
				require.ErrorContains(t, err, text)
				assert.Equal(t, events.Unavailable, events.KindOf(err))
				assert.NotContains(t, err.Error(), "canary")
			}
			assert.Empty(t, p.accepted())
		})
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = prober(t, newSMTP(t, "smtp://"+silent.Addr().String(), nil)).Probe(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
