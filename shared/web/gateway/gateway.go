// Package gateway does for our own server what API Gateway does on AWS: it decides who may call which function, how often, and
// from which pages.
//
//	g := gateway.New(s.Web, logger, time.Now)
//	router := web.Router(functions, append(g.Options(), web.Log(logger))...)
//	err := web.Server(router, logger).Serve(gateway.Limit(listener, s.Web))
//
// What it guarantees:
//
//   - Functions for staff need a verified token ("Authorization: Bearer", nowhere else); its subject is [web.Caller].
//     Refusals are those of RFC 6750 section 3. Public functions ignore tokens, as a route without authorizer does.
//   - A JWT is accepted by the rules of API Gateway's JWT authorizer
//     (https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html): kid, iss, aud or else
//     client_id, exp, nbf, iat, one scope of scope or else scp. In addition exp is required, and sub or client_id, to tell
//     callers apart; clocks may differ by 30 s; ES, PS and EdDSA are accepted, where AWS accepts RS only.
//   - The issuer's keys are read again every hour, and kept for a day while it is away; before the first read the answer is 503.
//   - Each caller has a token bucket: staff by subject, others by address (IPv6: /64). Memory is bounded: in a flood from more
//     than 16384 addresses old buckets are full again.
//   - Without AUTH, callers on this machine only are served: whatever shows that a proxy relays it, or that it is meant for
//     another host's name, is refused before anything else. A proxy needs AUTH, because not every one shows. Functions for
//     staff are closed to the pages of other hosts, unless CORS_ORIGINS names them.
//   - No token, and no claim but the subject, is in an answer or a log line.
//
// It has no sessions, no revocation (a JWT is good until exp or until its key is gone) and no roles: staff is staff.
package gateway

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/bearer"
	"golang.org/x/net/netutil"
)

// Gateway guards the functions of one router.
type Gateway struct {
	settings settings.Web
	verifier verifier // nil = AUTH is not set
	public   *limiter // nil = no limit
	staff    *limiter
}

// verifier returns the subject of a token. It fails with a *bearer.Refusal, or with errKeys.
type verifier interface {
	verify(ctx context.Context, token string) (subject string, err error)
}

// New makes a gateway of settings that were checked when read. now is the clock.
func New(s settings.Web, logger *slog.Logger, now func() time.Time) *Gateway {
	g := &Gateway{settings: s, public: newLimiter(s.Public, now), staff: newLimiter(s.Staff, now)}
	switch s.Auth.Mode {
	case "jwt":
		g.verifier = newJWT(s.Auth.JWT, newIssuer(s.Auth.JWT.Issuer, logger, now))
	case "token":
		g.verifier = tokens(s.Auth.Tokens)
	}
	return g
}

// Limit bounds the connections that are open at the same time; others wait in the kernel's queue.
func Limit(l net.Listener, s settings.Web) net.Listener {
	return netutil.LimitListener(l, s.MaxConnections)
}

// Options configure the router.
func (g *Gateway) Options() []web.Option {
	guard, around := g.guard, clientIP(g.settings.TrustedProxies)
	if len(g.settings.CORSOrigins) > 0 {
		inner := around
		around = func(next http.Handler) http.Handler { return cors(g.settings.CORSOrigins, inner(next)) }
	}
	if g.verifier == nil {
		inner := around
		around = func(next http.Handler) http.Handler {
			return admit(inner(next), "Set AUTH to serve others, also where a proxy leads here.", notProxied, ownName)
		}
		guard = func(next http.Handler) http.Handler {
			return admit(next, "Add its origin to CORS_ORIGINS, or set AUTH.", ownPage(g.settings.CORSOrigins))
		}
	}
	options := []web.Option{web.Guard(guard), web.Throttle(g.throttle), web.Around(around)}
	if g.settings.TLSInFront {
		options = append(options, web.BehindTLS())
	}
	return options
}

// Ping reads the issuer's keys where there is an issuer: a wrong JWT_ISSUER shows before a caller meets it.
func (g *Gateway) Ping(ctx context.Context) error {
	v, ok := g.verifier.(*jwtVerifier)
	if !ok {
		return nil
	}
	if err := v.issuer.refresh(ctx); err != nil {
		return err
	}
	return v.issuer.set.Load().err
}

// throttle counts the requests to a function.
func (g *Gateway) throttle(f web.Function, next http.Handler) http.Handler {
	l := g.public
	if f.Staff {
		l = g.staff
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := bucketKey{subject: web.Caller(r.Context())}
		if caller.subject == "" {
			caller.address = clientNetwork(r)
		}
		if !tooMany(w, r, l.take(caller)) {
			next.ServeHTTP(w, r)
		}
	})
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
		if tooMany(w, r, g.staff.take(bucketKey{address: clientNetwork(r)})) {
			return
		}
		if refused, ok := err.(*bearer.Refusal); ok { //nolint:errorlint // made by identify, never wrapped
			refused.Write(w, r)
			return
		}
		web.Problem{Status: http.StatusServiceUnavailable, Detail: err.Error(), RetryAfter: keysPause}.Write(w, r)
	})
}

func (g *Gateway) identify(r *http.Request) (string, error) {
	token, refused := tokenOf(r.Header)
	if refused != nil {
		return "", refused
	}
	return g.verifier.verify(r.Context(), token)
}

// tooMany answers 429 if there is something to wait for.
func tooMany(w http.ResponseWriter, r *http.Request, wait time.Duration) bool {
	if wait > 0 {
		web.Problem{Status: http.StatusTooManyRequests, Detail: "You have sent too many requests; try again after Retry-After.",
			RetryAfter: wait}.Write(w, r)
	}
	return wait > 0
}
