package gateway

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web"
)

// discard ignores the answer.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

// The same query with nothing before it and with everything. The log line is made and written nowhere.
func BenchmarkRequest(b *testing.B) {
	i := newTestIssuer(b, "rsa", "p256")
	jwtSettings := i.settings()
	for _, p := range []struct {
		name  string
		s     settings.Web
		bare  bool
		token string
	}{
		{name: "bare router", bare: true},
		{name: "token", s: tokenSettings(tokenA), token: tokenA},
		{name: "jwt", s: jwtSettings, token: sign("RS256", "rsa", i.claimsAt(time.Now(), nil))},
		{name: "jwt+throttle", s: withAll(jwtSettings, false), token: sign("RS256", "rsa", i.claimsAt(time.Now(), nil))},
		{name: "jwt+throttle+cors", s: withAll(jwtSettings, true), token: sign("RS256", "rsa", i.claimsAt(time.Now(), nil))},
	} {
		logger := slog.New(slog.NewTextHandler(io.Discard, nil))
		handler := web.Router(functions(), web.Open(), web.Log(logger))
		if !p.bare {
			handler = web.Router(functions(), append(New(p.s, logger, time.Now).Options(), web.Log(logger))...)
		}
		r := httptest.NewRequest(http.MethodGet, "/contacts", http.NoBody)
		if p.token != "" {
			r.Header.Set("Authorization", "Bearer "+p.token)
		}
		r.Header.Set("Origin", shop)
		b.Run(p.name, func(b *testing.B) {
			w := &discard{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				if handler.ServeHTTP(w, r); w.status != http.StatusOK {
					b.Fatal(w.status)
				}
			}
		})
	}
}

func withAll(s settings.Web, cors bool) settings.Web {
	s.Staff = settings.Limit{Rate: 1e9, Burst: 1e9}
	if cors {
		s.CORSOrigins = []string{shop}
	}
	return s
}

// What a token costs, and a forged one.
func BenchmarkVerify(b *testing.B) {
	i := newTestIssuer(b, "rsa", "p256", "ed")
	c := newClock()
	for alg, id := range map[string]string{"RS256": "rsa", "ES256": "p256", "EdDSA": "ed"} {
		v := New(i.settings(), slog.New(slog.DiscardHandler), c.now).verifier
		token := sign(alg, id, i.claimsAt(c.now(), nil))
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	v := New(i.settings(), slog.New(slog.DiscardHandler), c.now).verifier
	forged := sign("RS256", "rsa", i.claimsAt(c.now(), nil))
	forged = forged[:len(forged)-8] + "AAAAAAAA"
	b.Run("RS256/forged", func(b *testing.B) {
		for b.Loop() {
			if _, err := v.verify(b.Context(), forged); err == nil {
				b.Fatal("passed")
			}
		}
	})
}
