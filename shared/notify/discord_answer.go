package notify

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

// answer is what Discord says when it refuses. Its texts may quote the message, and are not read.
type answer struct {
	Code       int                        `json:"code"`
	RetryAfter float64                    `json:"retry_after"` // seconds
	Errors     map[string]json.RawMessage `json:"errors"`      // by field
}

// aboutContent are the codes that say that this message is not acceptable
// (https://docs.discord.com/developers/topics/opcodes-and-status-codes#json).
var aboutContent = []int{
	20009,  // explicit content
	50006,  // an empty message
	200000, // blocked by automatic moderation
	240000, // blocked by the filter of harmful links
}

const invalidForm = 50035 // some field is not acceptable; only content comes from the notification

// refused tells whose fault it is. A webhook that is gone or may not post is an outage: every message would be refused.
func (d *Discord) refused(response *http.Response, body []byte) error {
	var a answer
	_ = json.Unmarshal(body, &a) // what is no JSON comes from something before Discord, and has a status all the same
	status := response.StatusCode
	what := fmt.Sprintf("Discord answered %d", status)
	if a.Code != 0 {
		what += fmt.Sprintf(", code %d", a.Code)
	}
	_, content := a.Errors["content"]
	switch {
	case status == http.StatusTooManyRequests:
		d.pause.extend(seconds(a.RetryAfter))
		return &events.Error{Kind: events.Unavailable, Message: what, RetryAfter: d.pause.left()}
	case status == http.StatusBadRequest && (slices.Contains(aboutContent, a.Code) || a.Code == invalidForm && content):
		return events.Errorf(events.Invalid, "%s: it does not accept this message", what)
	case status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusNotFound:
		return events.Errorf(events.Unavailable, "%s: the webhook is gone or may not post; make another one and set DISCORD_WEBHOOK", what)
	case status >= 400 && status < 500 && status != http.StatusRequestTimeout:
		return events.Errorf(events.Unknown, "%s: nothing says whether it is for this message", what)
	default:
		e := &events.Error{Kind: events.Unavailable, Message: what, RetryAfter: d.pause.retryAfter(response)}
		return e
	}
}

// pause remembers the wait that Discord asks for, so that others who send do not ask in vain: it bans an address after
// 10,000 refused requests in 10 minutes (https://docs.discord.com/developers/topics/rate-limits#invalid-request-limit).
type pause struct {
	now   func() time.Time
	mutex sync.Mutex
	until time.Time
}

func (p *pause) left() time.Duration {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return max(p.until.Sub(p.now()), 0)
}

func (p *pause) extend(wait time.Duration) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if until := p.now().Add(wait); until.After(p.until) {
		p.until = until
	}
}

// heed reads the headers of an answer: the wait that a refusal asks for, and that after the last message of a window.
func (p *pause) heed(response *http.Response) {
	if response.StatusCode == http.StatusTooManyRequests {
		p.extend(p.retryAfter(response))
	}
	if response.Header.Get("X-RateLimit-Remaining") == "0" {
		p.extend(header(response, "X-RateLimit-Reset-After"))
	}
}

// retryAfter is in seconds where Discord says it; what stands before it may name a date (RFC 9110 section 10.2.3).
func (p *pause) retryAfter(response *http.Response) time.Duration {
	if date, err := http.ParseTime(response.Header.Get("Retry-After")); err == nil {
		return seconds(date.Sub(p.now()).Seconds())
	}
	return header(response, "Retry-After")
}

func header(response *http.Response, name string) time.Duration {
	n, err := strconv.ParseFloat(response.Header.Get(name), 64)
	if err != nil {
		return 0
	}
	return seconds(n)
}

// seconds is a wait, at most a day: a longer one is a mistake.
func seconds(n float64) time.Duration {
	if math.IsNaN(n) || n < 0 {
		return 0
	}
	return time.Duration(min(n, 24*60*60) * float64(time.Second))
}
