package notify

import (
	"cmp"
	"errors"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/sipeat/sipeat/shared/settings"
)

// server is what SMTP_URL names.
type server struct {
	host, port     string
	user, password string
	security       security
}

type security int

const (
	startTLS    security = iota // required
	implicitTLS                 // from the first byte
	unencrypted
)

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

// parseServer reads smtp://user:password@host:587 (STARTTLS) or smtps://user:password@host:465 (TLS). smtp:// without a login
// is unencrypted on loopback, and elsewhere with the option ?tls=none.
//
// No error repeats any of the URL: an unescaped password can end up in any part of it.
func parseServer(raw string) (server, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Fragment != "" || strings.Trim(u.Path, "/") != "" || u.Opaque != "" ||
		u.Scheme != "smtp" && u.Scheme != "smtps" {
		return server{}, errors.New("must be an smtp or smtps URL; write special characters of the password as %XX " +
			"(@ is %40, / is %2F)")
	}
	s := server{host: u.Hostname(), port: cmp.Or(u.Port(), "587"), user: u.User.Username()}
	s.password, _ = u.User.Password()
	switch {
	case u.Scheme == "smtps":
		s.security, s.port = implicitTLS, cmp.Or(u.Port(), "465")
	case u.RawQuery == "tls=none", settings.IsLoopback(s.address()) && s.user == "":
		s.security = unencrypted
	}
	switch _, badPort := strconv.ParseUint(s.port, 10, 16); {
	case u.RawQuery != "" && (u.RawQuery != "tls=none" || u.Scheme == "smtps"):
		return server{}, errors.New("has one option, tls=none of smtp://")
	case badPort != nil || !hostName.MatchString(s.host) && net.ParseIP(s.host) == nil:
		return server{}, errors.New("must name a host, and a port up to 65535")
	case (s.user == "") != (s.password == "") || strings.ContainsFunc(s.user+s.password, unicode.IsControl):
		return server{}, errors.New("must have both user and password or neither, without control characters")
	case s.user != "" && s.security == unencrypted:
		return server{}, errors.New("a login needs TLS: remove tls=none or the login")
	}
	return s, nil
}

func (s server) address() string { return net.JoinHostPort(s.host, s.port) }
