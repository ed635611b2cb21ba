package notify

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/sipeat/sipeat/shared/events"
)

// Prober is a notifier that can tell whether it gets through, and tells nobody anything for it. What it says is for
// people; its errors are those of [Notifier.Notify].
type Prober interface {
	Probe(ctx context.Context) (says string, err error)
}

var (
	_ Prober = (*SMTP)(nil)
	_ Prober = (*Discord)(nil)
)

// Probe goes as far as the login, and says QUIT.
func (s *SMTP) Probe(ctx context.Context) (string, error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return "", unavailable(Cause(ctx, err), "no connection to the mail server %s", s.server.address())
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer conn.Close()
	defer stop()
	c := conversation{server: s.server, tls: s.tls}
	client, err := c.open(conn)
	if err != nil {
		return "", c.explain(ctx, err, false)
	}
	if client.UpdateDeadline(farewell) == nil {
		_ = client.Quit() // it let us in, whatever comes of the farewell
	}
	says := "the mail server " + s.server.address() + " answers"
	if s.server.secure != plain {
		says += ", TLS ok"
	}
	if s.server.user != "" {
		says += ", login ok"
	}
	return says, nil
}

// Probe asks for the webhook itself, which posts nothing and needs no more than its URL
// (https://docs.discord.com/developers/resources/webhook#get-webhook-with-token).
func (d *Discord) Probe(ctx context.Context) (string, error) {
	u, err := url.Parse(d.url)
	if err != nil {
		return "", events.Errorf(events.Unavailable, "DISCORD_WEBHOOK cannot be read")
	}
	u.RawQuery = "" // it says how to post
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return "", events.Errorf(events.Unavailable, "a request to Discord cannot be made: a %T", err)
	}
	request.Header.Set("User-Agent", userAgent)
	response, err := d.client.Do(request)
	if err != nil {
		return "", unavailable(Cause(ctx, err), "Discord did not answer")
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	d.pause.heed(response)
	switch {
	case response.StatusCode == http.StatusOK:
		return "Discord knows the webhook", nil
	case err != nil:
		return "", unavailable(Cause(ctx, err), "Discord answered %d and broke off", response.StatusCode)
	}
	return "", d.refused(response, said)
}
