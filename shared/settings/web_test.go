package settings

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func env(pairs ...string) func(string) string {
	values := map[string]string{}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = value
	}
	return func(name string) string { return values[name] }
}

func TestWebOnALaptop(t *testing.T) {
	s, err := Read(env())
	require.NoError(t, err)
	assert.Equal(t, Web{Auth: Auth{JWT: JWT{Scope: []string{}}}, Public: Limit{10, 20}, Staff: Limit{50, 100},
		MaxConnections: 1024, IdleTimeout: 90 * time.Second}, s.Web)
}

const longToken = "0123456789abcdef0123456789ABCDEF-._~+/=="

func TestWeb(t *testing.T) {
	s, err := Read(env("AUTH=jwt", "JWT_ISSUER=https://login.example.com/", "JWT_AUDIENCE=a, b", "JWT_SCOPE=sipeat/staff admin",
		"CORS_ORIGINS=https://Shop.example, http://localhost:3000,http://[::1]:3000", "THROTTLE_RATE=off", "THROTTLE_STAFF_RATE=0.5",
		"THROTTLE_STAFF_BURST=7",
		"TRUSTED_PROXIES=10.1.2.3/8,192.0.2.7,2001:db8::/32", "TLS_IN_FRONT=true", "HTTP_MAX_CONNECTIONS=50", "HTTP_IDLE_TIMEOUT=2m"))
	require.NoError(t, err)
	assert.Equal(t, Auth{Mode: "jwt", JWT: JWT{"https://login.example.com/", []string{"a", "b"}, []string{"sipeat/staff",
		"admin"}}}, s.Web.Auth)
	assert.Equal(t, []string{"https://shop.example", "http://localhost:3000", "http://[::1]:3000"}, s.Web.CORSOrigins)
	assert.Equal(t, Limit{0, 20}, s.Web.Public)
	assert.Equal(t, Limit{0.5, 7}, s.Web.Staff)
	assert.Equal(t, "[10.0.0.0/8 192.0.2.7/32 2001:db8::/32]", fmt.Sprint(s.Web.TrustedProxies))
	assert.True(t, s.Web.TLSInFront)
	assert.Equal(t, 2*time.Minute, s.Web.IdleTimeout)

	s, err = Read(env("AUTH=token", "AUTH_TOKEN="+longToken+" , "+strings.Repeat("x", 32), "CORS_ORIGINS=*"))
	require.NoError(t, err)
	assert.Len(t, s.Web.Auth.Tokens, 2)
	assert.NotContains(t, fmt.Sprintf("%+v %#v", s, s), longToken)
}

func TestWebFaultsAreReportedTogether(t *testing.T) {
	for _, c := range []struct {
		env    []string
		faults []string // all of them
	}{
		{[]string{"AUTH=canary"}, []string{"AUTH: must be jwt or token"}},
		{[]string{"AUTH=jwt"}, []string{"JWT_ISSUER: must be an https URL", "JWT_AUDIENCE: must be set", "JWT_SCOPE: must be set"}},
		{[]string{"AUTH=jwt", "JWT_ISSUER=http://canary.example.com", "JWT_AUDIENCE=,", "JWT_SCOPE=a"},
			[]string{"JWT_ISSUER: must be an https URL", "JWT_AUDIENCE: must be set"}},
		{[]string{"AUTH=jwt", "JWT_ISSUER=https://canary:canary@login.example.com", "JWT_AUDIENCE=a", "JWT_SCOPE=a"},
			[]string{"JWT_ISSUER: must be an https URL"}},
		{[]string{"AUTH=token"}, []string{"for example the output of `openssl rand -hex 32`"}},
		{[]string{"AUTH=token", "AUTH_TOKEN=canary," + longToken}, []string{"AUTH_TOKEN: must be one or more tokens of at least 32"}},
		{[]string{"AUTH=token", "AUTH_TOKEN=canary 0123456789abcdef0123456789abcdef"}, []string{"AUTH_TOKEN: must be"}},
		{[]string{"AUTH_TOKEN=canary"}, []string{"AUTH: must be set: AUTH=token with AUTH_TOKEN"}},
		{[]string{"JWT_ISSUER=canary"}, []string{"AUTH=jwt with JWT_ISSUER"}},
		{[]string{"THROTTLE_RATE=canary", "THROTTLE_BURST=0", "THROTTLE_STAFF_RATE=NaN", "THROTTLE_STAFF_BURST=1.5",
			"HTTP_MAX_CONNECTIONS=-1", "TLS_IN_FRONT=canary"},
			[]string{"THROTTLE_RATE: must be a number", "THROTTLE_BURST: must be a whole", "THROTTLE_STAFF_RATE: must be a number",
				"THROTTLE_STAFF_BURST", "HTTP_MAX_CONNECTIONS", "TLS_IN_FRONT: must be true or false"}},
		{[]string{"HTTP_IDLE_TIMEOUT=90"}, []string{"HTTP_IDLE_TIMEOUT: must be a duration from 1s to 1h0m0s; for example 90s"}},
		{[]string{"HTTP_IDLE_TIMEOUT=999ms"}, []string{"HTTP_IDLE_TIMEOUT"}},
		{[]string{"TRUSTED_PROXIES=canary.example,10.0.0.0/33"}, []string{"TRUSTED_PROXIES: entry 1", "TRUSTED_PROXIES: entry 2"}},
		{[]string{"CORS_ORIGINS=*,https://shop.example"}, []string{"CORS_ORIGINS: entry 1"}},
	} {
		_, err := Read(env(c.env...))
		require.Error(t, err, "%v", c.env)
		for _, text := range c.faults {
			assert.ErrorContains(t, err, text)
		}
		assert.Equal(t, len(c.faults), strings.Count(err.Error(), "\n")+1, err)
		assert.NotContains(t, err.Error(), "canary")
	}
	for _, origin := range []string{"shop.example", "https://", "https://shop.example/", "https://shop.example?a",
		"https://shop.example#", "https://a:b@shop.example", "ftp://shop.example", "https://*.shop.example",
		"https://shop.example:443", "http://shop.example:80", "https://shop.example:", "https://kö.example", "null",
		"https://shop example", "//shop.example"} {
		_, err := Read(env("CORS_ORIGINS=https://ok.example," + origin))
		require.ErrorContains(t, err, "CORS_ORIGINS: entry 2 must be scheme and host", origin)
	}
}

func TestCheckListen(t *testing.T) {
	for _, address := range []string{"127.0.0.1:8080", "localhost:0", "[::1]:8080"} {
		assert.NoError(t, Auth{}.CheckListen(address))
	}
	for _, address := range []string{"0.0.0.0:8080", "[::]:8080", "192.168.1.7:8080", "api.example:8080"} {
		assert.ErrorContains(t, Auth{}.CheckListen(address), "set AUTH=token with AUTH_TOKEN")
		assert.NoError(t, Auth{Mode: "jwt"}.CheckListen(address))
	}
	assert.ErrorContains(t, Auth{Mode: "jwt"}.CheckListen(":8080"), "must be host:port")
}
