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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/notify/notifytest"
)

func TestSMTP(t *testing.T) {
	notifytest.Run(t, func(t *testing.T) notifytest.Subject {
		p := newMailServer(t, offersStartTLS)
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
			Failures: notifytest.Failures{events.Unavailable: {"a broken connection": func() { p.vanish = true }}},
			Hang:     func() <-chan struct{} { p.hang = make(chan struct{}, 2); return p.hang },
			Secrets:  []string{user, password, "pass%2F"},
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
		{"DATA", "550 5.4.5 Daily user sending limit exceeded", events.Unavailable, false},
		{"end", "550-5.4.5 Daily user sending limit exceeded.\r\n550 5.4.5 see", events.Unavailable, false},
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

func TestTLSIsRequired(t *testing.T) {
	p, plain := newMailServer(t, offersStartTLS), newMailServer(t, knowsNoTLS)
	for text, n := range map[string]notify.Notifier{
		"certificate":                        newSMTP(t, "smtp://"+escaped+"@"+p.address, nil), // of an unknown authority
		"STARTTLS: not offered":              newSMTP(t, "smtp://"+escaped+"@"+plain.address, nil),
		"does not look like a TLS handshake": newSMTP(t, "smtps://"+plain.address, nil),
	} {
		err := n.Notify(t.Context(), notifytest.Message("n-1"))
		assert.Equal(t, events.Unavailable, events.KindOf(err), "%v", err)
		assert.ErrorContains(t, err, text)
	}
	assert.Empty(t, append(p.accepted(), plain.accepted()...))
	require.NoError(t, newSMTP(t, "smtp://"+p.address, nil).Notify(t.Context(), notifytest.Message("n-1")), "plain on loopback")
}

func TestConnectionsAreBoundedAndClosed(t *testing.T) {
	p := newMailServer(t, knowsNoTLS)
	before := runtime.NumGoroutine()
	n := newSMTP(t, "smtp://"+p.address, nil)
	done := make(chan error)
	for i := range 100 {
		go func() { done <- n.Notify(t.Context(), notifytest.Message(fmt.Sprint("n-", i))) }()
	}
	for range 100 {
		assert.NoError(t, <-done)
	}
	for _, address := range []string{
		script(t, map[string]string{"greeting": "554 no"}), script(t, map[string]string{"RCPT": "550 no"}), "127.0.0.1:1",
	} {
		assert.Error(t, newSMTP(t, "smtp://"+address, nil).Notify(t.Context(), notifytest.Message("n-1")))
	}
	assert.Len(t, p.accepted(), 100)
	assert.LessOrEqual(t, p.most, 3, "at a time")
	assert.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+3 }, 5*time.Second, time.Millisecond,
		"two scripts, and the watcher of this line")
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
		"ada@r3---sn.example": {"ada@r3---sn.example", false},
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
		before string // of the address
		offer  offer
		result string
		failed []string
	}{
		"STARTTLS and login": {"smtp://" + escaped + "@", offersStartTLS, "is ready for mail", nil},
		"TLS and login":      {"smtps://" + escaped + "@", speaksTLS, "is ready for mail", nil},
		"neither":            {"smtp://", knowsNoTLS, "is ready for mail", nil},
		"a wrong password":   {"smtp://user-canary:wrong@", offersStartTLS, "", []string{"535", "AUTH"}},
	} {
		p := newMailServer(t, c.offer)
		result, err := prober(t, newSMTP(t, c.before+p.address, p.roots)).Probe(t.Context())
		if c.failed == nil {
			require.NoError(t, err, name)
			assert.Equal(t, "the mail server "+p.address+" "+c.result, result)
		}
		for _, text := range c.failed {
			require.ErrorContains(t, err, text, name)
			assert.Equal(t, events.Unavailable, events.KindOf(err))
			assert.NotContains(t, err.Error(), "canary")
		}
		assert.Empty(t, p.accepted(), "a probe sends nothing")
	}
	p := newMailServer(t, offersStartTLS)
	p.login = []string{"XOAUTH2"}
	_, err := prober(t, newSMTP(t, "smtp://"+escaped+"@"+p.address, p.roots)).Probe(t.Context())
	require.ErrorContains(t, err, "offers none of PLAIN, LOGIN")

	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = prober(t, newSMTP(t, "smtp://"+silent.Addr().String(), nil)).Probe(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
