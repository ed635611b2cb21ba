package settings

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Web is who may call the API, how often, and from which pages. On AWS, API Gateway is told the same by template.yaml.
type Web struct {
	Auth           Auth
	CORSOrigins    []string       // CORS_ORIGINS: as browsers write them; "*" alone = every; none = no CORS
	Public, Staff  Limit          // THROTTLE_RATE and _BURST; THROTTLE_STAFF_RATE and _BURST
	TrustedProxies []netip.Prefix // TRUSTED_PROXIES: whose X-Forwarded-For counts
	TLSInFront     bool           // TLS_IN_FRONT: callers come by https alone
	MaxConnections int            // HTTP_MAX_CONNECTIONS: open at the same time
	IdleTimeout    time.Duration  // HTTP_IDLE_TIMEOUT: when an idle keep-alive connection is closed
}

// Auth is how staff is told. The zero Auth asks nobody.
type Auth struct {
	Mode   string              // AUTH: "jwt", "token" or ""
	Tokens [][sha256.Size]byte // AUTH_TOKEN: only their digests, so that no dump of the settings shows one
	JWT    JWT
}

// JWT is whose tokens are taken, as API Gateway's JWT authorizer is told it.
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

// minToken is how short a token may be: 32 characters of base64 are 192 bits, of hex 128.
const minToken = 32

func (r *reader) web() Web {
	w := Web{
		Auth:           r.auth(),
		CORSOrigins:    r.list("CORS_ORIGINS", ""),
		Public:         Limit{Rate: r.rate("THROTTLE_RATE", "10"), Burst: r.count("THROTTLE_BURST", "20")},
		Staff:          Limit{Rate: r.rate("THROTTLE_STAFF_RATE", "50"), Burst: r.count("THROTTLE_STAFF_BURST", "100")},
		MaxConnections: r.count("HTTP_MAX_CONNECTIONS", "1024"),
		IdleTimeout:    r.idleTimeout(),
	}
	for i, origin := range w.CORSOrigins {
		if origin == "*" && len(w.CORSOrigins) > 1 {
			r.check("CORS_ORIGINS", errors.New("* means every origin, so it stands alone; for example CORS_ORIGINS=*"))
		} else if origin != "*" {
			w.CORSOrigins[i] = strings.ToLower(origin)
			r.check("CORS_ORIGINS", checkOrigin(w.CORSOrigins[i]))
		}
	}
	for _, text := range r.list("TRUSTED_PROXIES", "") {
		prefix, err := netip.ParsePrefix(text)
		if addr, single := netip.ParseAddr(text); single == nil {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil || prefix.Addr().Is4In6() {
			r.check("TRUSTED_PROXIES", fmt.Errorf("%q is no IP address or network; for example 10.0.0.0/8,192.0.2.7", text))
		}
		w.TrustedProxies = append(w.TrustedProxies, prefix.Masked())
	}
	w.TLSInFront = r.flag("TLS_IN_FRONT")
	return w
}

func (r *reader) auth() Auth {
	a := Auth{Mode: r.text("AUTH", "")}
	switch a.Mode {
	case "jwt":
		a.JWT = r.jwt()
	case "token":
		a.Tokens = r.tokens()
	case "":
		for _, pair := range [][2]string{{"AUTH_TOKEN", "token"}, {"JWT_ISSUER", "jwt"}} {
			if r.text(pair[0], "") != "" { // callers are meant to be asked
				r.check("AUTH", fmt.Errorf("is not set, but %s is; for example AUTH=%s", pair[0], pair[1]))
			}
		}
	default:
		r.check("AUTH", fmt.Errorf("%q is neither jwt nor token; for example AUTH=token", a.Mode))
	}
	return a
}

// jwt wants a scope too: without one, any token of the issuer for this audience would be staff, a customer's as well.
func (r *reader) jwt() JWT {
	j := JWT{Issuer: r.text("JWT_ISSUER", ""), Audience: r.list("JWT_AUDIENCE", ""), Scope: strings.Fields(r.text("JWT_SCOPE", ""))}
	r.check("JWT_ISSUER", checkIssuer(j.Issuer))
	if len(j.Audience) == 0 {
		r.check("JWT_AUDIENCE", errors.New("is not set and AUTH=jwt needs it; for example JWT_AUDIENCE=sipeat-api"))
	}
	if len(j.Scope) == 0 {
		r.check("JWT_SCOPE", errors.New("is not set and AUTH=jwt needs it; for example JWT_SCOPE=sipeat/staff"))
	}
	for _, scope := range j.Scope {
		if strings.ContainsFunc(scope, func(c rune) bool { return c < '!' || c > '~' || c == '"' || c == '\\' }) { // RFC 6749 section 3.3
			r.check("JWT_SCOPE", fmt.Errorf("%q is no scope: visible ASCII without quotes and backslashes; for example sipeat/staff", scope))
		}
	}
	return j
}

// tokens never puts a token, nor a part of one, into a fault.
func (r *reader) tokens() (digests [][sha256.Size]byte) {
	const example = "for example what `openssl rand -hex 32` prints"
	given := r.list("AUTH_TOKEN", "")
	if len(given) == 0 {
		r.check("AUTH_TOKEN", errors.New("is not set and AUTH=token needs it; "+example))
	}
	for i, token := range given {
		if len(token) < minToken {
			r.check("AUTH_TOKEN", fmt.Errorf("token %d of %d has %d characters and needs %d; %s", i+1, len(given), len(token), minToken, example))
		}
		if !IsToken68(token) {
			r.check("AUTH_TOKEN", fmt.Errorf("token %d of %d has characters that the header Authorization cannot carry; %s", i+1, len(given), example))
		}
		digests = append(digests, sha256.Sum256([]byte(token)))
	}
	return digests
}

// IsToken68 tells whether s can be a bearer token: RFC 6750 section 2.1, b64token.
func IsToken68(s string) bool {
	body := strings.TrimRight(s, "=")
	for _, c := range []byte(body) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("-._~+/", c) < 0 {
			return false
		}
	}
	return body != ""
}

func (r *reader) rate(name, fallback string) float64 {
	text := r.text(name, fallback)
	if text == "off" {
		return 0
	}
	rate, err := strconv.ParseFloat(text, 64)
	if err != nil || !(rate >= 0.001 && rate <= 1e6) {
		r.check(name, fmt.Errorf("%q is no number of requests a second from 0.001 to 1000000, nor off; for example %s=%s", text, name, fallback))
	}
	return rate
}

func (r *reader) idleTimeout() time.Duration {
	text := r.text("HTTP_IDLE_TIMEOUT", "90s")
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > time.Hour {
		r.check("HTTP_IDLE_TIMEOUT", fmt.Errorf("%q is no duration from 1s to 1h; for example HTTP_IDLE_TIMEOUT=90s", text))
	}
	return d
}

func (r *reader) count(name, fallback string) int {
	text := r.text(name, fallback)
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 1e6 {
		r.check(name, fmt.Errorf("%q is no whole number from 1 to 1000000; for example %s=%s", text, name, fallback))
	}
	return n
}

// checkOrigin takes what a browser would send (RFC 6454 section 6.2), for anything else would never match.
func checkOrigin(origin string) error {
	u, err := url.Parse(origin)
	ascii := !strings.ContainsFunc(origin, func(c rune) bool { return c <= ' ' || c > '~' || c == '*' })
	if err == nil && ascii && (u.Scheme == "https" && u.Port() != "443" || u.Scheme == "http" && u.Port() != "80") &&
		u.Hostname() != "" && origin == u.Scheme+"://"+u.Host && !strings.HasSuffix(u.Host, ":") {
		return nil
	}
	return fmt.Errorf("%q is no origin: scheme and host, a port if it is not the usual one, no path, no slash at the end; for example https://shop.example", origin)
}

func checkIssuer(issuer string) error {
	const example = "for example JWT_ISSUER=https://login.example.com/"
	if issuer == "" {
		return errors.New("is not set and AUTH=jwt needs it; " + example)
	}
	u, err := url.Parse(issuer)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Hostname() == "" || !SafeURL(u) {
		return errors.New("is no https address without user, query and fragment (http only on this machine); " + example)
	}
	return nil
}

// SafeURL tells whether what comes from there can be believed: https, or this machine.
func SafeURL(u *url.URL) bool {
	return u.Scheme == "https" || u.Scheme == "http" && loopback(net.JoinHostPort(u.Hostname(), "0"))
}

// CheckListen says whether the API may listen at address: beyond loopback only if it asks callers who they are.
func (a Auth) CheckListen(address string) error {
	err := Address(address)
	if err != nil || a.Mode != "" || loopback(address) {
		return err
	}
	_, port, _ := net.SplitHostPort(address)
	return fmt.Errorf("%q can be reached from other machines, and nobody would be asked who they are: set AUTH=token with AUTH_TOKEN "+
		"(such as `openssl rand -hex 32` prints), or AUTH=jwt with JWT_ISSUER, JWT_AUDIENCE and JWT_SCOPE; or listen on 127.0.0.1:%s", address, port)
}

// NamesOrigin tells whether an origin is listed, not merely let in by "*".
func (w Web) NamesOrigin(origin string) bool { return slices.Contains(w.CORSOrigins, origin) }
