package notify

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
)

// Discord posts to a channel's webhook (https://docs.discord.com/developers/resources/webhook#execute-webhook). The webhook's
// URL is its secret.
type Discord struct {
	url    url.URL
	client http.Client
	now    func() time.Time

	mu    sync.Mutex
	until time.Time // end of the wait that Discord requested
}

// maxContent is the length of a message in UTF-16 code units, which clients count; the documented characters are code points
// (https://github.com/discord/discord-api-docs/issues/1315) and never more.
const maxContent = 2000

// webhookPath is that of https://discord.com/api/webhooks/123/abc, with or without a version of the API.
var webhookPath = regexp.MustCompile(`^/api(/v\d+)?/webhooks/\d+/[A-Za-z0-9._-]+$`)

// NewDiscord reads DISCORD_WEBHOOK. A query such as ?thread_id=123 is kept. client nil is one of its own; redirects are never
// followed, because they would carry the secret elsewhere.
func NewDiscord(webhook string, client *http.Client, now func() time.Time) (*Discord, error) {
	u, err := url.Parse(webhook)
	if err != nil || !webhookPath.MatchString(u.Path) || u.User != nil || u.Fragment != "" ||
		u.Host == "" || !settings.SafeURL(u) {
		return nil, errors.New("DISCORD_WEBHOOK: must be the URL that Discord shows under Integrations, Webhooks, Copy Webhook URL; " +
			"for example https://discord.com/api/webhooks/123456789/abcdef")
	}
	d := &Discord{url: *u, client: *cmp.Or(client, &http.Client{}), now: now}
	d.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return d, nil
}

func (d *Discord) Notify(ctx context.Context, m Message) error {
	// Without the wait, every message would be refused, and Discord bans an address after 10,000 refusals in 10 minutes
	// (https://docs.discord.com/developers/topics/rate-limits#invalid-request-limit).
	if wait := d.wait(0); wait > 0 {
		return &events.Error{Kind: events.Unavailable, Message: "Discord asked for fewer messages", RetryAfter: wait}
	}
	body, _ := json.Marshal(post(m)) // texts have no errors: they are valid UTF-8
	u := d.url
	query := u.Query()
	query.Set("wait", "true") // Discord answers once it has accepted the message
	u.RawQuery = query.Encode()
	return d.do(ctx, http.MethodPost, u, body)
}

// Probe reads the webhook, which posts nothing (https://docs.discord.com/developers/resources/webhook#get-webhook-with-token).
func (d *Discord) Probe(ctx context.Context) (string, error) {
	u := d.url
	u.RawQuery = ""
	return "Discord knows the webhook", d.do(ctx, http.MethodGet, u, nil)
}

func (d *Discord) do(ctx context.Context, method string, u url.URL, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("a request to Discord cannot be made: a %T", err)
	}
	request.Header.Set("Content-Type", "application/json")
	// https://docs.discord.com/developers/reference#user-agent
	request.Header.Set("User-Agent", "DiscordBot (https://github.com/sipeat/sipeat, 1)")
	response, err := d.client.Do(request)
	if Unreached(err) {
		return unavailable(Cause(ctx, err), "no connection to Discord")
	}
	if err != nil {
		return unavailable(Cause(ctx, err), "Discord did not answer; it may have posted the message, which is sent again")
	}
	defer response.Body.Close()
	if response.StatusCode >= 200 && response.StatusCode < 300 {
		return nil
	}
	return d.refused(response)
}

// contentCodes refuse this message (https://docs.discord.com/developers/topics/opcodes-and-status-codes#json): explicit
// content, an empty message, blocked by moderation, blocked links.
var contentCodes = []int{20009, 50006, 200000, 240000}

const invalidForm = 50035 // some field is not acceptable; only content comes from the notification

// refused distinguishes a fault of the message from an outage. A webhook that is gone or may not post refuses every message.
// Texts of the body may quote the message, and are not read.
func (d *Discord) refused(response *http.Response) error {
	var body struct {
		Code   int                       `json:"code"`
		Errors map[string]jsontext.Value `json:"errors"` // by field
	}
	_ = json.UnmarshalRead(io.LimitReader(response.Body, 64<<10), &body) // a proxy's is no JSON; its status counts all the same
	status := response.StatusCode
	what := fmt.Sprintf("Discord answered %d", status)
	if body.Code != 0 {
		what += fmt.Sprintf(", code %d", body.Code)
	}
	_, content := body.Errors["content"]
	switch {
	case status == http.StatusBadRequest && (slices.Contains(contentCodes, body.Code) || body.Code == invalidForm && content):
		return events.Errorf(events.Invalid, "%s: it does not accept this message", what)
	case status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusNotFound:
		return events.Errorf(events.Unavailable, "%s: the webhook is gone or may not post; make another and set DISCORD_WEBHOOK", what)
	case status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests:
		return events.Errorf(events.Unknown, "%s", what)
	}
	seconds, err := strconv.ParseFloat(response.Header.Get("Retry-After"), 64)
	if err != nil || !(seconds > 0) {
		seconds = 0
	}
	wait := time.Duration(min(seconds, maxWait.Seconds()) * float64(time.Second))
	if status == http.StatusTooManyRequests {
		wait = d.wait(wait)
	}
	return &events.Error{Kind: events.Unavailable, Message: what, RetryAfter: wait}
}

const maxWait = 24 * time.Hour // a longer one is a mistake

// wait returns the rest of the wait that Discord requested, extended to at least the given time.
func (d *Discord) wait(extend time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	if until := now.Add(extend); until.After(d.until) {
		d.until = until
	}
	return d.until.Sub(now)
}

const suppressEmbeds = 1 << 2 // no previews of links

// post is the body of a message, without mentions. It puts foreign text into a code block: Discord reads no markdown, link or
// mention there, and only three backticks end it.
func post(m Message) map[string]any {
	head, tail := "**SipEat: "+m.subject()+"**\n```\n", "\n```"
	if r := m.reference(); r != "" {
		tail = "\n\n" + fenced(r) + tail
	}
	return map[string]any{
		"content":  head + cut(fenced(prose(m.Text)), maxContent-units(head)-units(tail)) + tail,
		"username": "SipEat", "allowed_mentions": map[string][]string{"parse": {}}, "flags": suppressEmbeds,
	}
}

// fenced separates adjacent backticks by a zero-width space.
func fenced(text string) string { return strings.ReplaceAll(text, "``", "`\u200b`\u200b") }
