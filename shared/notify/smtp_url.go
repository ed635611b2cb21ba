package notify

import (
	"errors"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// server is what SMTP_URL says.
type server struct {
	host, port     string
	user, password string
	secure         security
	helo           string // how we call ourselves; empty = by our address
	connections    int
}

type security int

const (
	startTLS security = iota // required: without it nothing is said
	implicit                 // TLS from the first byte
	plain
)

// connections is how many there are at a time: as many as Exchange Online allows
// (https://learn.microsoft.com/en-us/exchange/troubleshoot/send-emails/smtp-submission-improvements).
const connections = 3

// The length is not in the expression: repetitions of hundreds are half a millisecond of a Lambda function's init.
var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

func isHostName(s string) bool { return len(s) <= 254 && hostName.MatchString(s) }

// parseServer reads smtp://user:password@host:587 or smtps://user:password@host:465. Behind a question mark may stand
//
//	tls=none        no TLS at all, and so no login; what smtp:// does by itself on loopback where there is no login
//	tls=starttls    STARTTLS on loopback too
//	helo=NAME       how to greet; by default the own address in brackets (RFC 5321, 4.1.4)
//	connections=N   how many at a time, from 1 to 100
//
// What is wrong is told without a word of the URL: a password that is not escaped can end up anywhere in it.
func parseServer(raw string) (server, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return server{}, errors.New("cannot be read as a URL; where the password has other characters than letters and digits, write them as %XX (@ is %40, / is %2F)")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || u.Fragment != "" || strings.Trim(u.Path, "/") != "" || u.Opaque != "" {
		return server{}, errors.New("has something behind the host that is not understood; where the password has other characters than letters and digits, write them as %XX")
	}
	s := server{host: u.Hostname(), port: u.Port(), connections: connections, helo: query.Get("helo")}
	s.user = u.User.Username()
	s.password, _ = u.User.Password()
	var faults []error
	fault := func(wrong bool, text string) {
		if wrong {
			faults = append(faults, errors.New(text))
		}
	}
	fault(!isHostName(s.host) && net.ParseIP(s.host) == nil, "names no host")
	fault((s.user == "") != (s.password == ""), "has a user without a password, or a password without a user")
	fault(strings.ContainsFunc(s.user+s.password, func(r rune) bool { return r < ' ' || r == 127 }), "has control characters in its user or password")
	fault(s.helo != "" && !isHostName(s.helo), "has a helo that is no host name")

	defaultPort := "587"
	switch {
	case u.Scheme == "smtps":
		s.secure, defaultPort = implicit, "465"
	case u.Scheme == "smtp" && loopback(s.host) && s.user == "":
		s.secure = plain
	case u.Scheme != "smtp":
		fault(true, "begins neither with smtp:// nor with smtps://")
	}
	if s.port == "" {
		s.port = defaultPort
	}
	_, err = strconv.ParseUint(s.port, 10, 16)
	fault(err != nil, "has a port that is none")
	for option, values := range query {
		switch {
		case len(values) != 1:
			fault(true, "has an option twice")
		case option == "tls" && values[0] == "none" && s.secure != implicit:
			s.secure = plain
			fault(s.user != "", "has a login and tls=none: a password is only sent over TLS")
		case option == "tls" && values[0] == "starttls" && s.secure != implicit:
			s.secure = startTLS
		case option == "connections":
			s.connections, err = strconv.Atoi(values[0])
			fault(err != nil || s.connections < 1 || s.connections > 100, "has a number of connections that is not from 1 to 100")
		case option != "helo":
			fault(true, "has an option other than tls=none, tls=starttls (both for smtp:// only), helo=NAME, connections=N")
		}
	}
	return s, errors.Join(faults...)
}

func (s server) address() string { return net.JoinHostPort(s.host, s.port) }

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
