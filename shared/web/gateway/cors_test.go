package gateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
)

const shop = "https://shop.example"

var preflight = []string{"Access-Control-Request-Method: POST",
	"Access-Control-Request-Headers: authorization,content-type,idempotency-key"}

func accessControl(h http.Header) (names []string) {
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			names = append(names, name)
		}
	}
	return names
}

func TestPreflight(t *testing.T) {
	s := tokenSettings(tokenA)
	s.CORSOrigins = []string{"http://localhost:3000", shop}
	s.Public, s.Staff = settings.Limit{Rate: 0.001, Burst: 1}, settings.Limit{Rate: 0.001, Burst: 1}
	h := newRouter(s, newClock())
	for range 3 { // it needs no token and is not throttled
		for _, target := range []string{"/contacts", "/nothing"} {
			w := call(h, "OPTIONS", target, append(preflight, "Origin: "+shop)...)
			assert.Equal(t, 204, w.Code)
			assert.Zero(t, w.Body.Len())
			assert.Equal(t, shop, w.Header().Get("Access-Control-Allow-Origin"))
			assert.Equal(t, "GET,HEAD,POST,OPTIONS", w.Header().Get("Access-Control-Allow-Methods"))
			assert.Equal(t, "authorization,content-type,idempotency-key,prefer,traceparent,tracestate,x-request-id",
				w.Header().Get("Access-Control-Allow-Headers"))
			assert.Equal(t, "3600", w.Header().Get("Access-Control-Max-Age"))
			assert.Equal(t, "Origin", w.Header().Get("Vary"))
			assert.Empty(t, w.Header().Values("Access-Control-Allow-Credentials"))
			assert.NotEmpty(t, w.Header().Get("X-Request-Id"))
		}
	}
	for _, origin := range []string{"https://evil.example", "null", "", "https://shop.example.evil.example", "http://shop.example",
		shop + "/"} {
		w := call(h, "OPTIONS", "/contacts", append(preflight, "Origin: "+origin)...)
		assert.Equal(t, 204, w.Code, origin)
		assert.Empty(t, accessControl(w.Header()))
		assert.Equal(t, "Origin", w.Header().Get("Vary"))
	}
	problem(t, 405, call(h, "OPTIONS", "/contacts", "Origin: "+shop)) // an OPTIONS that is no preflight
	problem(t, 405, call(h, "OPTIONS", "/contacts", preflight...))
}

// Pages may read every answer, a 401 and a 429 too.
func TestCrossOriginAnswers(t *testing.T) {
	s := tokenSettings(tokenA)
	s.CORSOrigins = []string{shop}
	s.Public = settings.Limit{Rate: 1, Burst: 1}
	h := newRouter(s, newClock())
	for _, at := range []struct {
		status  int
		request []string
	}{
		{202, []string{"POST", "/contacts"}}, {429, []string{"POST", "/contacts"}}, {401, []string{"GET", "/contacts"}}, {404,
			[]string{"GET", "/nothing"}},
		{405, []string{"PUT", "/contacts"}}, {200, []string{"GET", "/contacts", "Authorization: Bearer " + tokenA}},
	} {
		w := call(h, at.request[0], at.request[1], append(at.request[2:], "Origin: "+shop)...)
		assert.Equal(t, at.status, w.Code)
		assert.Equal(t, shop, w.Header().Get("Access-Control-Allow-Origin"))
		assert.Equal(t, "location,retry-after,x-request-id,preference-applied", w.Header().Get("Access-Control-Expose-Headers"))
		assert.Equal(t, "Origin", w.Header().Get("Vary"))
		assert.Len(t, accessControl(w.Header()), 2)
	}
	for _, headers := range [][]string{nil, {"Origin: https://evil.example"}} {
		w := call(h, "GET", "/healthz", headers...)
		assert.Equal(t, 200, w.Code)
		assert.Empty(t, accessControl(w.Header()))
		assert.Equal(t, "Origin", w.Header().Get("Vary"), "a cache must not give this to the shop")
	}
}

func TestAnyOrigin(t *testing.T) {
	h := newRouter(settings.Web{CORSOrigins: []string{"*"}}, newClock())
	for _, origin := range []string{shop, "null"} {
		w := call(h, "OPTIONS", "/contacts", append(preflight, "Origin: "+origin)...)
		assert.Equal(t, "*", w.Header().Get("Access-Control-Allow-Origin"))
		assert.Equal(t, "*", call(h, "POST", "/contacts", "Origin: "+origin).Header().Get("Access-Control-Allow-Origin"))
	}
	w := call(h, "POST", "/contacts")
	assert.Empty(t, accessControl(w.Header()))
	assert.Empty(t, w.Header().Values("Vary"))
}
