package notify

import (
	"errors"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
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
	if err != nil || u.Fragment != "" || strings.Trim(u.Path, "/") != "" || u.Opaque != "" {
		return server{}, errors.New("not a URL of a mail server; write special characters of the password as %XX (@ is %40, / is %2F)")
	}
	s := server{host: u.Hostname(), port: u.Port(), connections: defaultConnections, user: u.User.Username()}
	s.password, _ = u.User.Password()
	switch {
	case u.Scheme == "smtps":
		s.security = implicitTLS
	case u.Scheme != "smtp":
		return server{}, errors.New("must begin with smtp:// or smtps://")
	case isLoopback(s.host) && s.user == "":
		s.security = unencrypted
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || s.setOptions(query) != nil {
		return server{}, errors.New("options are tls=none or tls=starttls (smtp:// only), helo=NAME and connections=1 to 100, each once")
	}
	if s.port == "" {
		s.port = map[bool]string{false: "587", true: "465"}[s.security == implicitTLS]
	}
	switch _, badPort := strconv.ParseUint(s.port, 10, 16); {
	case badPort != nil || !isHostName(s.host) && net.ParseIP(s.host) == nil:
		return server{}, errors.New("must name a host, and a port from 1 to 65535")
	case (s.user == "") != (s.password == ""):
		return server{}, errors.New("must have both user and password, or neither")
	case strings.ContainsFunc(s.user+s.password, func(r rune) bool { return r < ' ' || r == 127 }):
		return server{}, errors.New("user and password must not contain control characters")
	case s.user != "" && s.security == unencrypted:
		return server{}, errors.New("a login needs TLS: remove tls=none or the login")
	}
	return s, nil
}

func (s *server) setOptions(query url.Values) (err error) {
	for option, values := range query {
		value := values[0]
		switch {
		case len(values) > 1:
			return errors.ErrUnsupported
		case option == "tls" && value == "none" && s.security != implicitTLS:
			s.security = unencrypted
		case option == "tls" && value == "starttls" && s.security != implicitTLS:
			s.security = startTLS
		case option == "helo" && isHostName(value):
			s.helo = value
		case option == "connections":
			if s.connections, err = strconv.Atoi(value); err != nil || s.connections < 1 || s.connections > 100 {
				return errors.ErrUnsupported
			}
		default:
			return errors.ErrUnsupported
		}
	}
	return nil
}

func (s server) address() string { return net.JoinHostPort(s.host, s.port) }

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
