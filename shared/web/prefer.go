package web

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

const (
	maxWait      = 20 * time.Second
	firstPause   = 10 * time.Millisecond
	longestPause = 250 * time.Millisecond
	lastCall     = 2 * time.Second // how long a call that began within the wait may run past it
)

// preferredWait reads wait=N of the headers Prefer (RFC 7240 section 4.3), N in whole seconds and at most 20. The first wait
// counts, and a malformed one counts as none (section 2). Several headers are one list (RFC 9110 section 5.3). false = none.
func preferredWait(headers []string) (time.Duration, bool) {
	for preference := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		preference, _, _ = strings.Cut(preference, ";") // parameters
		name, value, _ := strings.Cut(preference, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		value = strings.Trim(strings.TrimSpace(value), `"`)
		if value == "" || strings.Trim(value, "0123456789") != "" {
			return 0, false
		}
		n, err := strconv.Atoi(value)
		if wait := time.Duration(n) * time.Second; err == nil && n < 1000 && wait < maxWait {
			return wait, true
		}
		return maxWait, true
	}
	return 0, false
}

// waitUntilFound calls get again, with growing pauses, while it returns NotFound and the preferred wait lasts. It stops early
// when the client goes away, the server shuts down, or the request's deadline is near.
func waitUntilFound[Out any](w http.ResponseWriter, r *http.Request, get func(context.Context) (Out, error)) (Out, error) {
	w.Header().Add("Vary", "Prefer")
	ctx := r.Context()
	wait, preferred := preferredWait(r.Header["Prefer"])
	if preferred {
		w.Header().Set("Preference-Applied", "wait="+strconv.Itoa(int(wait/time.Second)))
	}
	end := time.Now().Add(wait)
	if deadline, ok := ctx.Deadline(); ok && deadline.Add(-lastCall-longestPause).Before(end) {
		end = deadline.Add(-lastCall - longestPause)
	}
	out, err := get(ctx)
	calls, cancel := context.WithDeadline(ctx, end.Add(lastCall))
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		left := time.Until(end)
		if left <= 0 || events.KindOf(err) != events.NotFound {
			return out, err
		}
		select {
		case <-time.After(min(pause, left)):
		case <-ctx.Done():
			return out, ctx.Err()
		case <-draining(ctx):
			return out, err
		}
		next, failure := get(calls)
		if failure != nil && calls.Err() != nil && ctx.Err() == nil {
			return out, err // the call before found nothing
		}
		out, err = next, failure
	}
}
