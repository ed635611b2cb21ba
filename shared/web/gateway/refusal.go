package gateway

import (
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/web"
)

// refusal is why a caller does not pass, by RFC 6750 section 3.1. Its texts are constants: what a token holds is for nobody.
type refusal struct {
	status      int
	code        string // "" = no credentials came, which is no error
	description string // without quotes and backslashes, as the RFC wants it
	scope       string // what would have sufficed
}

func (r *refusal) Error() string { return r.description }

var noCredentials = &refusal{status: http.StatusUnauthorized, description: "no bearer token came"}

func malformed(description string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: "invalid_request", description: description}
}

func invalid(description string) *refusal {
	return &refusal{status: http.StatusUnauthorized, code: "invalid_token", description: description}
}

func insufficient(scope []string) *refusal {
	return &refusal{status: http.StatusForbidden, code: "insufficient_scope",
		description: "the token has none of the scopes asked for here", scope: strings.Join(scope, " ")}
}

// challenge is the value of WWW-Authenticate.
func (r *refusal) challenge() string {
	c := `Bearer realm="sipeat"`
	if r.code != "" {
		c += `, error="` + r.code + `", error_description="` + r.description + `"`
	}
	if r.scope != "" {
		c += `, scope="` + r.scope + `"`
	}
	return c
}

// details say what to do.
var details = map[string]string{
	"":                   "This is for staff: send a header of the form Authorization: Bearer TOKEN.",
	"invalid_request":    "The header Authorization cannot be read: ",
	"invalid_token":      "Get a new token and send that: ",
	"insufficient_scope": "This is for staff, and your token does not say that you are: ",
}

func (r *refusal) write(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("WWW-Authenticate", r.challenge())
	detail := details[r.code]
	if r.code != "" {
		detail += r.description + "."
	}
	web.Problem{Status: r.status, Detail: detail}.Write(w, req)
}

func tooMany(w http.ResponseWriter, r *http.Request, wait time.Duration) {
	seconds := strconv.Itoa(int(math.Ceil(wait.Seconds())))
	w.Header().Set("Retry-After", seconds)
	web.Problem{Status: http.StatusTooManyRequests, Detail: "Too many requests came from you; try again in " + seconds + " s."}.Write(w, r)
}

// guard lets staff pass. Refusals count against the address they came from; a good token passes whatever its neighbours do.
func (g *Gateway) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		subject, err := g.identify(r)
		if err == nil {
			next.ServeHTTP(w, r.WithContext(web.WithCaller(r.Context(), subject)))
			return
		}
		refused, ok := err.(*refusal) //nolint:errorlint // made by identify, never wrapped
		if !ok {
			web.Fail(w, r, err)
			return
		}
		if g.staff != nil {
			if wait := g.staff.take(bucketKey{address: g.clients.of(r)}); wait > 0 {
				tooMany(w, r, wait)
				return
			}
		}
		g.logger.LogAttrs(r.Context(), slog.LevelDebug, "caller refused",
			slog.String("reason", refused.description), slog.String("request_id", web.RequestID(r.Context())))
		refused.write(w, r)
	})
}

func (g *Gateway) identify(r *http.Request) (string, error) {
	token, refused := bearer(r.Header)
	if refused != nil {
		return "", refused
	}
	return g.verifier.verify(r.Context(), token)
}
