// Package gateway does for our own server what API Gateway does on AWS: it decides who may call which function, how often, and
// from which pages.
//
//	g := gateway.New(s.Web, logger, time.Now)
//	err := web.Server(web.Router(functions, g.Options()), logger).Serve(listener)
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
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/bearer"
)

// Gateway guards the functions of one router.
type Gateway struct {
	settings settings.Web
	logger   *slog.Logger
	verify   verifier // nil = no AUTH
	issuer   *issuer  // nil = none
	public   *limiter // nil = no limit
	staff    *limiter
}

// verifier returns the subject of a token. It fails with a *bearer.Refusal, or with errKeys.
type verifier func(ctx context.Context, token string) (subject string, err error)

// New makes a gateway of settings that were checked when read. now is the clock.
func New(s settings.Web, logger *slog.Logger, now func() time.Time) *Gateway {
	g := &Gateway{settings: s, logger: logger, public: newLimiter(s.Public, now), staff: newLimiter(s.Staff, now)}
	switch s.Auth.Mode {
	case "jwt":
		g.issuer = newIssuer(s.Auth.JWT, logger, now)
		g.verify = g.issuer.verify
	case "token":
		g.verify = tokens(s.Auth.Tokens).verify
	}
	return g
}

// Options configure the router.
func (g *Gateway) Options() web.Options {
	o := web.Options{Logger: g.logger, Guard: g.guard, Throttle: g.throttle, BehindTLS: g.settings.TLSInFront}
	o.Around = func(next http.Handler) http.Handler {
		if len(g.settings.CORSOrigins) > 0 {
			next = cors(g.settings.CORSOrigins, next)
		}
		if g.verify == nil {
			next = admit(next, "Set AUTH to serve others, also where a proxy leads here.", notProxied, ownName)
		}
		return next
	}
	if g.verify == nil {
		o.Guard = func(next http.Handler) http.Handler {
			return admit(next, "Add its origin to CORS_ORIGINS, or set AUTH.", ownPage(g.settings.CORSOrigins))
		}
	}
	return o
}

// Ping reads the issuer's keys where there is an issuer: a wrong JWT_ISSUER shows before a caller meets it.
func (g *Gateway) Ping(ctx context.Context) error {
	if g.issuer == nil {
		return nil
	}
	return cmp.Or(g.issuer.refresh(ctx).err, ctx.Err()) // before the first read ends there is no error
}

func (g *Gateway) throttle(f web.Function, next http.Handler) http.Handler {
	l := g.public
	if f.Staff {
		l = g.staff
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := g.address(r)
		if subject := web.Caller(r.Context()); subject != "" {
			caller = "subject " + subject
		}
		if !l.tooMany(w, r, caller) {
			next.ServeHTTP(w, r)
		}
	})
}

func (g *Gateway) address(r *http.Request) string {
	return clientNetwork(r, g.settings.TrustedProxies).String()
}

// guard lets staff pass. Refusals, and tokens that cannot be verified while the issuer is away, count against the address
// that they came from; a good token passes whatever its neighbours do.
func (g *Gateway) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := tokenOf(r.Header)
		if err == nil {
			var subject string
			if subject, err = g.verify(r.Context(), token); err == nil {
				next.ServeHTTP(w, r.WithContext(web.WithCaller(r.Context(), subject)))
				return
			}
		}
		if g.staff.tooMany(w, r, g.address(r)) {
			return
		}
		if refused, ok := err.(*bearer.Refusal); ok { //nolint:errorlint // never wrapped
			refused.Write(w, r)
			return
		}
		web.Problem{Status: http.StatusServiceUnavailable, Detail: err.Error(), RetryAfter: keysPause}.Write(w, r)
	})
}
