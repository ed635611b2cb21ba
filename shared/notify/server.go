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
)

// server is what SMTP_URL names.
type server struct {
	host, port     string
	user, password string
	security       security
	helo           string // "" = the machine's name or address
	connections    int
}

type security int

const (
	startTLS    security = iota // required
	implicitTLS                 // from the first byte
	unencrypted
)

// defaultConnections is what Exchange Online allows at a time
// (https://learn.microsoft.com/en-us/exchange/troubleshoot/send-emails/smtp-submission-improvements).
const defaultConnections = 3

// The length is not in the expression: repetitions of hundreds are half a millisecond of a Lambda function's init.
var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

func isHostName(s string) bool { return len(s) <= 254 && hostName.MatchString(s) }

// parseServer reads smtp://user:password@host:587 or smtps://user:password@host:465, with options as a query:
//
//	tls=none        no TLS and so no login; the default of smtp:// on loopback without a login
//	tls=starttls    STARTTLS on loopback too
//	helo=NAME       the name of the greeting
//	connections=N   at a time, 1 to 100; 3 by default
//
// No error repeats any of the URL: an unescaped password can end up in any part of it.
func parseServer(raw string) (server, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Fragment != "" || strings.Trim(u.Path, "/") != "" || u.Opaque != "" ||
		u.Scheme != "smtp" && u.Scheme != "smtps" {
		return server{}, errors.New("must be an smtp or smtps URL; write special characters of the password as %XX " +
			"(@ is %40, / is %2F)")
	}
	s := server{host: u.Hostname(), port: cmp.Or(u.Port(), "587"), connections: defaultConnections, user: u.User.Username()}
	s.password, _ = u.User.Password()
	if u.Scheme == "smtps" {
		s.security, s.port = implicitTLS, cmp.Or(u.Port(), "465")
	} else if isLoopback(s.host) && s.user == "" {
		s.security = unencrypted
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || !s.setOptions(query) {
		return server{}, errors.New("options are tls=none or tls=starttls (smtp:// only), helo=NAME and " +
			"connections=1 to 100, each once")
	}
	switch _, badPort := strconv.ParseUint(s.port, 10, 16); {
	case badPort != nil || !isHostName(s.host) && net.ParseIP(s.host) == nil:
		return server{}, errors.New("must name a host, and a port up to 65535")
	case (s.user == "") != (s.password == "") || strings.ContainsFunc(s.user+s.password, unicode.IsControl):
		return server{}, errors.New("must have both user and password or neither, without control characters")
	case s.user != "" && s.security == unencrypted:
		return server{}, errors.New("a login needs TLS: remove tls=none or the login")
	}
	return s, nil
}

func (s *server) setOptions(query url.Values) bool {
	for option, values := range query {
		value, ok := values[0], len(values) == 1
		switch option {
		case "tls":
			implicit := s.security == implicitTLS
			s.security = map[string]security{"none": unencrypted, "starttls": startTLS}[value]
			ok = ok && !implicit && (value == "none" || value == "starttls")
		case "helo":
			s.helo, ok = value, ok && isHostName(value)
		case "connections":
			n, err := strconv.Atoi(value)
			s.connections, ok = n, ok && err == nil && n >= 1 && n <= 100
		default:
			ok = false
		}
		if !ok {
			return false
		}
	}
	return true
}

func (s server) address() string { return net.JoinHostPort(s.host, s.port) }

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
