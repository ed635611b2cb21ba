package notify_test

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
)

// prober is the one channel that the notifier has.
func prober(t *testing.T, n notify.Notifier) notify.Prober {
	t.Helper()
	if channels, ok := n.(notify.Channels); ok {
		require.Len(t, channels, 1)
		n = channels[0].Notifier
	}
	p, ok := n.(notify.Prober)
	require.True(t, ok, "%T", n)
	return p
}

func TestSMTPIsProbedUpToTheLogin(t *testing.T) {
	for name, c := range map[string]struct {
		url    func(*post) string
		offer  offer
		fail   string
		says   string
		failed []string
	}{
		"STARTTLS and login": {func(p *post) string { return "smtp://" + escaped + "@" + p.address }, offersStartTLS, "", "answers, TLS ok, login ok", nil},
		"TLS and login":      {func(p *post) string { return "smtps://" + escaped + "@" + p.address }, speaksTLS, "", "answers, TLS ok, login ok", nil},
		"neither":            {func(p *post) string { return "smtp://" + p.address }, knowsNoTLS, "", "answers", nil},
		"no STARTTLS":        {func(p *post) string { return "smtp://" + p.address + "?tls=starttls" }, knowsNoTLS, "", "", []string{"STARTTLS"}},
		"a wrong password":   {func(p *post) string { return "smtp://user-canary:wrong@" + p.address }, offersStartTLS, "", "", []string{"AUTH"}},
		"a login refused":    {func(p *post) string { return "smtp://" + escaped + "@" + p.address }, offersStartTLS, "AUTH", "", []string{"535", "AUTH"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPost(t, c.offer)
			if c.fail != "" {
				p.fail[c.fail] = &smtp.SMTPError{Code: 535, Message: password}
			}
			p.fail["MAIL"] = &smtp.SMTPError{Code: 550, Message: "nobody shall be told"}
			says, err := prober(t, newSMTP(t, c.url(p), p.roots)).Probe(t.Context())
			if c.failed == nil {
				require.NoError(t, err)
				assert.Equal(t, "the mail server "+p.address+" "+c.says, says)
			}
			for _, text := range c.failed {
				require.ErrorContains(t, err, text)
				assert.Equal(t, events.Unavailable, events.KindOf(err))
				assert.NotContains(t, err.Error(), "canary")
			}
			assert.Empty(t, p.received())
		})
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = prober(t, newSMTP(t, "smtp://"+silent.Addr().String(), nil)).Probe(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, "the greeting")
}

func TestDiscordIsProbedAndNothingPosted(t *testing.T) {
	r := newRoom(t)
	n := newDiscord(t, r, time.Now)
	says, err := prober(t, n).Probe(t.Context())
	require.NoError(t, err)
	assert.NotContains(t, says, "canary")
	assert.Equal(t, http.MethodGet, r.last.Method)
	assert.Equal(t, webhook, r.last.URL.String(), "with nothing that says how to post")
	for status, text := range map[int]string{404: "the webhook is gone", 401: "the webhook is gone", 500: "answered 500", 302: "answered 302"} {
		r.answer = func(w http.ResponseWriter, _ []byte) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		}
		_, err = prober(t, n).Probe(t.Context())
		require.ErrorContains(t, err, text)
		assert.NotContains(t, err.Error(), "canary")
	}
	r.Close()
	_, err = prober(t, n).Probe(t.Context())
	require.ErrorContains(t, err, "did not answer")
	assert.NotContains(t, err.Error(), "canary")
}
