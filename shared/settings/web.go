package settings

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Web are the settings of the API. On AWS template.yaml gives them to API Gateway.
type Web struct {
	Auth           Auth
	CORSOrigins    []string       // CORS_ORIGINS: as browsers write them; "*" alone = every; none = no CORS
	Public, Staff  Limit          // THROTTLE_RATE and _BURST; THROTTLE_STAFF_RATE and _BURST
	TrustedProxies []netip.Prefix // TRUSTED_PROXIES: their X-Forwarded-For is believed
	TLSInFront     bool           // TLS_IN_FRONT: callers come by https alone
	MaxConnections int            // HTTP_MAX_CONNECTIONS: open at the same time
	IdleTimeout    time.Duration  // HTTP_IDLE_TIMEOUT: when an idle keep-alive connection is closed
}

// Auth is how staff authenticate. The zero Auth does not ask.
type Auth struct {
	Mode   string              // AUTH: "jwt", "token" or ""
	Tokens [][sha256.Size]byte // AUTH_TOKEN: only digests, so that no dump of the settings shows a token
	JWT    JWT
}

// JWT are the accepted tokens, as for API Gateway's JWT authorizer.
type JWT struct {
	Issuer   string   // JWT_ISSUER: the claim iss, to the letter
	Audience []string // JWT_AUDIENCE: aud must be one of them
	Scope    []string // JWT_SCOPE: one of them must be in the token
}

// Limit is a token bucket for each caller. Rate 0 = no limit.
type Limit struct {
	Rate  float64 // requests a second that come back
	Burst int     // requests at once
}

func (r *reader) web() Web {
	w := Web{
		Auth:           r.auth(),
		CORSOrigins:    r.list("CORS_ORIGINS", ""),
		Public:         Limit{Rate: r.rate("THROTTLE_RATE", "10"), Burst: r.count("THROTTLE_BURST", "20")},
		Staff:          Limit{Rate: r.rate("THROTTLE_STAFF_RATE", "50"), Burst: r.count("THROTTLE_STAFF_BURST", "100")},
		TLSInFront:     r.flag("TLS_IN_FRONT"),
		MaxConnections: r.count("HTTP_MAX_CONNECTIONS", "1024"),
		IdleTimeout:    r.duration("HTTP_IDLE_TIMEOUT", "90s", time.Second, time.Hour),
	}
	for i, origin := range w.CORSOrigins {
		w.CORSOrigins[i] = strings.ToLower(origin)
		every := origin == "*" && len(w.CORSOrigins) == 1
		r.check(!every && !isOrigin(w.CORSOrigins[i]), "CORS_ORIGINS", fmt.Sprintf("entry %d must be scheme and host, and a port that "+
			"is not the usual one, without a path or a final slash; for example https://shop.example, or * alone for every origin", i+1))
	}
	for i, text := range r.list("TRUSTED_PROXIES", "") {
		prefix, err := netip.ParsePrefix(text)
		if addr, single := netip.ParseAddr(text); single == nil {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		r.check(err != nil || prefix.Addr().Is4In6(), "TRUSTED_PROXIES",
			fmt.Sprintf("entry %d must be an IP address or network; for example 10.0.0.0/8,192.0.2.7", i+1))
		w.TrustedProxies = append(w.TrustedProxies, prefix.Masked())
	}
	return w
}

func (r *reader) auth() Auth {
	a := Auth{Mode: r.text("AUTH", ""), JWT: JWT{
		Issuer: r.text("JWT_ISSUER", ""), Audience: r.list("JWT_AUDIENCE", ""), Scope: strings.Fields(r.text("JWT_SCOPE", "")),
	}}
	tokens := r.list("AUTH_TOKEN", "")
	for _, token := range tokens {
		a.Tokens = append(a.Tokens, sha256.Sum256([]byte(token)))
	}
	switch a.Mode {
	case "jwt": // without a scope, every token of the issuer for this audience would be staff, a customer's as well
		u, err := url.Parse(a.JWT.Issuer)
		r.check(err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Hostname() == "" || !SafeURL(u), "JWT_ISSUER",
			"must be an https URL without user, query and fragment (http on this machine); for example https://login.example.com/")
		r.check(len(a.JWT.Audience) == 0, "JWT_AUDIENCE", "must be set with AUTH=jwt; for example sipeat-api")
		r.check(len(a.JWT.Scope) == 0, "JWT_SCOPE", "must be set with AUTH=jwt; for example sipeat/staff")
	case "token":
		short := func(token string) bool { return len(token) < 32 || !IsToken68(token) } // 192 bits of base64, 128 of hex
		r.check(len(tokens) == 0 || slices.ContainsFunc(tokens, short), "AUTH_TOKEN",
			"must be one or more tokens of at least 32 letters, digits and -._~+/; for example the output of `openssl rand -hex 32`")
	case "": // a setting of one of them means that callers should be authenticated
		r.check(len(tokens) > 0 || a.JWT.Issuer != "", "AUTH",
			"must be set: AUTH=token with AUTH_TOKEN, or AUTH=jwt with JWT_ISSUER")
	default:
		r.check(true, "AUTH", "must be jwt or token, and the token itself is AUTH_TOKEN; for example AUTH=token")
	}
	return a
}

// IsToken68 reports whether s can be a bearer token: RFC 6750 section 2.1, b64token.
func IsToken68(s string) bool {
	return strings.Trim(s, "=") != "" && isName(strings.TrimRight(s, "="), "-._~+/")
}

// isOrigin accepts what a browser sends (RFC 6454 section 6.2): anything else would never match.
func isOrigin(origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "https" && u.Port() != "443" || u.Scheme == "http" && u.Port() != "80") &&
		u.Hostname() != "" && isName(u.Hostname(), "-._:") && origin == u.Scheme+"://"+u.Host && !strings.HasSuffix(u.Host, ":")
}

// SafeURL reports whether answers of the URL are authentic: https, or this machine.
func SafeURL(u *url.URL) bool {
	return u.Scheme == "https" || u.Scheme == "http" && IsLoopback(u.Host)
}

// CheckListen checks the API's address: other machines may reach it only if callers are authenticated.
func (a Auth) CheckListen(address string) error {
	switch {
	case !isAddress(address):
		return errors.New("must be host:port with a port from 0 to 65535; for example 127.0.0.1:8080")
	case a.Mode != "" || IsLoopback(address):
		return nil
	}
	return errors.New("other machines reach this address and callers are not authenticated: set AUTH=token with AUTH_TOKEN " +
		"(such as `openssl rand -hex 32` prints), or AUTH=jwt with JWT_ISSUER, JWT_AUDIENCE and JWT_SCOPE; or listen on 127.0.0.1")
}
