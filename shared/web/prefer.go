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
	// lastAsk is how long an ask that began within the wait may take beyond it.
	lastAsk = 2 * time.Second
)

// preferredWait reads wait=N of the headers Prefer (RFC 7240 section 4.3), N in whole seconds and at most 20. As section 2
// says, the first wait counts, and one that is malformed counts as none. false = none is asked for. Several headers are
// one list (RFC 9110 section 5.3), and what is in front of us may have joined them already.
func preferredWait(headers []string) (time.Duration, bool) {
	for h := strings.Join(headers, ","); h != ""; {
		var preference string
		preference, h = cutUnquoted(h, ',')
		preference, _ = cutUnquoted(preference, ';') // parameters
		name, value, _ := strings.Cut(preference, "=")
		if strings.EqualFold(strings.Trim(name, " \t"), "wait") {
			return seconds(strings.Trim(value, " \t"))
		}
	}
	return 0, false
}

func seconds(s string) (time.Duration, bool) {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	if s == "" {
		return 0, false
	}
	var n time.Duration
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+time.Duration(c-'0'), maxWait/time.Second)
	}
	return n * time.Second, true
}

// cutUnquoted cuts s around the first sep that stands in no quoted string (RFC 9110 section 5.6.4).
func cutUnquoted(s string, sep byte) (before, after string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == sep && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// askUntilFound asks again, with growing pauses, while the answer is NotFound and the wait that the request prefers
// lasts. It gives up early when the client goes away or the server shuts down. Where the request has a deadline the wait
// is shortened to whole seconds that leave time for the last ask and the answer.
func askUntilFound[Out any](w http.ResponseWriter, r *http.Request, ask func(context.Context) (Out, error)) (Out, error) {
	w.Header().Add("Vary", "Prefer")
	ctx := r.Context()
	wait, preferred := preferredWait(r.Header["Prefer"])
	deadline, bound := ctx.Deadline()
	if bound {
		deadline = deadline.Add(-lastAsk - longestPause)
		wait = min(wait, max(0, time.Until(deadline).Truncate(time.Second)))
	}
	if preferred {
		w.Header().Set("Preference-Applied", "wait="+strconv.Itoa(int(wait/time.Second)))
	}
	out, err := ask(ctx)
	if wait == 0 || events.KindOf(err) != events.NotFound {
		return out, err
	}
	end := time.Now().Add(wait)
	if bound && deadline.Before(end) { // the first ask took its time
		end = deadline
	}
	bounded, cancel := context.WithDeadline(ctx, end.Add(lastAsk))
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		left := time.Until(end)
		if left <= 0 {
			return out, err
		}
		timer := time.NewTimer(min(pause, left))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return out, ctx.Err()
		case <-draining(ctx):
			timer.Stop()
			return out, err
		}
		again, errAgain := ask(bounded)
		if errAgain != nil && bounded.Err() != nil && ctx.Err() == nil {
			return out, err // what was found last: nothing
		}
		if events.KindOf(errAgain) != events.NotFound {
			return again, errAgain
		}
	}
}
