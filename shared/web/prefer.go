package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

const (
	maxWait       = 20 * time.Second
	shortestPause = time.Millisecond // a projection on one machine takes about two
	longestPause  = 250 * time.Millisecond
	lastCall      = 2 * time.Second // what is left of the request's time for the last call
)

// preferredWait reads wait=N of the headers Prefer (RFC 7240 section 4.3), N in whole seconds and at most 20. The first wait
// counts, and a malformed one counts as none (section 2). Several headers are one list (RFC 9110 section 5.3). false = none.
func preferredWait(headers []string) (time.Duration, bool) {
	for preference := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		preference, _, _ = strings.Cut(preference, ";") // parameters
		name, value, _ := strings.Cut(preference, "=")
		if strings.EqualFold(strings.TrimSpace(name), "wait") {
			n, err := strconv.ParseUint(strings.Trim(value, ` "`), 10, 32)
			return min(time.Duration(n)*time.Second, maxWait), err == nil
		}
	}
	return 0, false
}

// waitUntilFound calls get again, with growing pauses, while it returns NotFound and the preferred wait lasts. A pause is a
// quarter of the time waited so far, so that the answer is late by no more than that. It stops early when the client goes
// away, the server shuts down, or the request's deadline is near.
func waitUntilFound[Out any](w http.ResponseWriter, r *http.Request, get func() (Out, error)) (Out, error) {
	w.Header().Add("Vary", "Prefer")
	ctx := r.Context()
	wait, preferred := preferredWait(r.Header["Prefer"])
	if preferred {
		w.Header().Set("Preference-Applied", "wait="+strconv.Itoa(int(wait/time.Second)))
	}
	start := time.Now()
	end := start.Add(wait)
	if deadline, ok := ctx.Deadline(); ok && deadline.Add(-lastCall).Before(end) {
		end = deadline.Add(-lastCall)
	}
	for {
		out, err := get()
		left := time.Until(end)
		if left <= 0 || !preferred || events.KindOf(err) != events.NotFound {
			return out, err
		}
		pause := min(max(time.Since(start)/4, shortestPause), longestPause, left)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return out, ctx.Err()
		case <-draining(ctx):
			return out, err
		}
	}
}
