// Package gateway is for a server of ours what API Gateway is on AWS: it stands before the functions and says who may
// call what, how often, and from which pages.
//
//	g := gateway.New(s.Web, logger, time.Now)
//	router := web.Router(functions, append(g.Options(), web.Log(logger))...)
//	err := web.Server(router, logger).Serve(gateway.Limit(listener, s.Web))
//
// What it promises:
//
//   - Functions for staff are reached with a token that was verified ("Authorization: Bearer", nowhere else), its subject
//     being [web.Caller]. Refusals are those of RFC 6750 section 3. What nobody needs a token for ignores one, as a
//     route without authorizer does.
//   - A JWT passes here by the rules of API Gateway's JWT authorizer
//     (https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html): kid, iss, aud or else
//     client_id, exp, nbf, iat, one scope of scope or else scp. Beyond them exp is needed, and sub or client_id, to tell
//     callers apart; clocks may differ by 30 s; and ES, PS and EdDSA pass here, where AWS takes RS only.
//   - The issuer's keys are kept while it is away, for a day; before they were ever read, the answer is 503.
//   - Each caller has a token bucket: staff by subject, others by address (IPv6: /64). Memory is bounded, so a flood from
//     more than 16384 addresses makes old buckets full again.
//   - Without AUTH, callers on this machine only are served: whatever shows that a proxy relays it, or that it is meant for
//     another host's name, is refused before anything else. A proxy needs AUTH, because not every one shows. Functions for
//     staff are closed to the pages of other hosts, unless CORS_ORIGINS names them.
//   - No token, and no claim but the subject, is in an answer or a log line.
//
// What it is not: no sessions, no revocation (a JWT is good until exp or until its key is gone), no roles: staff is staff.
package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web"
)

// Gateway stands before the functions of one router.
type Gateway struct {
	settings settings.Web
	logger   *slog.Logger
	verifier verifier // nil = nobody is asked
	public   *limiter // nil = no limit
	staff    *limiter
	clients  clients
}

// verifier tells whose a token is. It fails with a *bearer.Refusal, or with an error of kind Unavailable if it cannot tell.
type verifier interface {
	verify(ctx context.Context, token string) (subject string, err error)
}

// New makes a gateway of settings that were checked when read. now is the clock.
func New(s settings.Web, logger *slog.Logger, now func() time.Time) *Gateway {
	g := &Gateway{settings: s, logger: logger, clients: s.TrustedProxies,
		public: newLimiter(s.Public, now), staff: newLimiter(s.Staff, now)}
	switch s.Auth.Mode {
	case "jwt":
		g.verifier = newJWT(s.Auth.JWT, newKeys(s.Auth.JWT.Issuer, logger, now), now)
	case "token":
		g.verifier = tokens(s.Auth.Tokens)
	}
	return g
}

// Options are what a router is given.
func (g *Gateway) Options() []web.Option {
	guard, around := g.guard, func(next http.Handler) http.Handler { return next }
	if len(g.settings.CORSOrigins) > 0 {
		around = newCORS(g.settings.CORSOrigins).around
	}
	if g.verifier == nil {
		const remedy = "Set AUTH to serve others, also where a proxy leads here."
		cors := around
		around = func(next http.Handler) http.Handler { return admit(cors(next), notProxied(remedy), ownName(remedy)) }
		guard = func(next http.Handler) http.Handler {
			return admit(next, ownPage(g.settings.NamesOrigin, "Add its origin to CORS_ORIGINS, or set AUTH."))
		}
	}
	options := []web.Option{web.Guard(guard), web.Throttle(g.throttle), web.Around(around)}
	if g.settings.TLSInFront {
		options = append(options, web.BehindTLS())
	}
	return options
}

// Ping reads the issuer's keys where there is an issuer: it tells a wrong JWT_ISSUER before a caller does.
func (g *Gateway) Ping(ctx context.Context) error {
	if v, ok := g.verifier.(*jwtVerifier); ok {
		return v.keys.ping(ctx)
	}
	return nil
}

// throttle counts the requests to a function.
func (g *Gateway) throttle(f web.Function, next http.Handler) http.Handler {
	l := g.public
	if f.Staff {
		l = g.staff
	}
	if l == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := bucketKey{subject: web.Caller(r.Context())}
		if caller.subject == "" {
			caller.address = g.clients.of(r)
		}
		if wait := l.take(caller); wait > 0 {
			tooMany(w, r, wait)
			return
		}
		next.ServeHTTP(w, r)
	})
}
