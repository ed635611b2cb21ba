package gateway

import (
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/bearer"
)

func tooMany(w http.ResponseWriter, r *http.Request, wait time.Duration) {
	seconds := strconv.Itoa(int(math.Ceil(wait.Seconds())))
	w.Header().Set("Retry-After", seconds)
	web.Problem{Status: http.StatusTooManyRequests, Detail: "Too many requests came from you; try again in " + seconds + " s."}.Write(w, r)
}

// guard lets staff pass. Refusals, and tokens that cannot be verified while the issuer is away, count against the address
// that they came from; a good token passes whatever its neighbours do.
func (g *Gateway) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		subject, err := g.identify(r)
		if err == nil {
			next.ServeHTTP(w, r.WithContext(web.WithCaller(r.Context(), subject)))
			return
		}
		if g.staff != nil {
			if wait := g.staff.take(bucketKey{address: g.clients.of(r)}); wait > 0 {
				tooMany(w, r, wait)
				return
			}
		}
		refused, ok := err.(*bearer.Refusal) //nolint:errorlint // made by identify, never wrapped
		if !ok {
			web.FailLogged(w, r, err) // the keys' own log line has the cause
			return
		}
		g.logger.LogAttrs(r.Context(), slog.LevelDebug, "caller refused",
			slog.String("reason", refused.Description), slog.String("request_id", web.RequestID(r.Context())))
		refused.Write(w, r)
	})
}

func (g *Gateway) identify(r *http.Request) (string, error) {
	token, refused := tokenOf(r.Header)
	if refused != nil {
		return "", refused
	}
	return g.verifier.verify(r.Context(), token)
}
