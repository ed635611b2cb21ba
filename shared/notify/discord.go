package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

// Discord tells staff by a channel's webhook
// (https://docs.discord.com/developers/resources/webhook#execute-webhook). The webhook's URL is its secret.
type Discord struct {
	url    string
	client *http.Client
	pause  *pause
}

// maxContent is the length of a message. The documentation says characters; they are code points
// (https://github.com/discord/discord-api-docs/issues/1315), but clients count UTF-16 code units, which are never fewer, so
// those are counted here.
const maxContent = 2000

// webhookPath is that of https://discord.com/api/webhooks/123/abc, with or without a version of the API.
var webhookPath = regexp.MustCompile(`^/api(/v\d+)?/webhooks/\d+/[A-Za-z0-9._-]+$`)

// userAgent has the form that Discord asks for: https://docs.discord.com/developers/reference#user-agent
const userAgent = "DiscordBot (https://github.com/sipeat/sipeat, 1)"

// NewDiscord reads DISCORD_WEBHOOK. A query such as ?thread_id=123 is kept. Client nil is one of its own; redirects are
// never followed, they would take the secret elsewhere.
func NewDiscord(webhook string, client *http.Client, now func() time.Time) (*Discord, error) {
	fault := errors.New("DISCORD_WEBHOOK: is not the URL that Discord shows under Integrations, Webhooks, Copy Webhook URL; for example https://discord.com/api/webhooks/123456789/abcdef")
	u, err := url.Parse(webhook)
	if err != nil || !webhookPath.MatchString(u.Path) || u.User != nil || u.Fragment != "" ||
		u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, fault
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, fault
	}
	query.Set("wait", "true") // without it Discord answers before it knows whether it takes the message
	u.RawQuery = query.Encode()
	own := http.Client{}
	if client != nil {
		own = *client
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Discord{url: u.String(), client: &own, pause: &pause{now: now}}, nil
}

func (d *Discord) Notify(ctx context.Context, m Message) error {
	if wait := d.pause.left(); wait > 0 {
		return &events.Error{Kind: events.Unavailable, Message: "Discord has asked for fewer messages", RetryAfter: wait}
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	body, err := json.Marshal(post(m))
	if err != nil {
		return fmt.Errorf("a message for Discord cannot be written: a %T", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("a request to Discord cannot be made: a %T", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", userAgent)
	response, err := d.client.Do(request)
	if Unreached(err) {
		return unavailable(Cause(ctx, err), "no connection to Discord")
	}
	if err != nil {
		return unavailable(Cause(ctx, err), "Discord did not answer; it may have posted the message, which is sent again")
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	d.pause.heed(response)
	switch {
	case response.StatusCode >= 200 && response.StatusCode < 300:
		return nil // posted, whatever became of the rest of the answer
	case err != nil:
		return unavailable(Cause(ctx, err), "Discord answered %d and broke off", response.StatusCode)
	}
	return d.refused(response, said)
}

// message is what Discord is sent. It pings nobody, shows no previews, and speaks under a name of its own.
type message struct {
	Content         string          `json:"content"`
	Username        string          `json:"username"`
	AllowedMentions allowedMentions `json:"allowed_mentions"`
	Flags           int             `json:"flags"`
}

type allowedMentions struct {
	Parse []string `json:"parse"`
}

const suppressEmbeds = 1 << 2

// post puts what comes from elsewhere into a code block: there Discord reads no markdown, no link and no mention, and the
// one thing that ends it is three backticks.
func post(m Message) message {
	head, tail := "**SipEat: "+m.subject()+"**\n```\n", "\n```"
	if r := m.reference(); r != "" {
		tail = "\n\n" + fenced(r) + tail
	}
	return message{
		Content:  head + cut(fenced(prose(m.Text)), maxContent-units(head)-units(tail)) + tail,
		Username: "SipEat", AllowedMentions: allowedMentions{Parse: []string{}}, Flags: suppressEmbeds,
	}
}

// fenced parts backticks that stand together by a space without width.
func fenced(text string) string { return strings.ReplaceAll(text, "``", "`\u200b`\u200b") }
