package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// badCertificate says what is wrong with the certificate that a broker shows.
func (p *probe) badCertificate(refused *tls.CertificateVerificationError) *Unreachable {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	host, _, _ := net.SplitHostPort(p.address)
	shown := refused.UnverifiedCertificates[0]
	switch {
	case errors.As(refused, &name):
		return p.at(AtTLS, nil, fmt.Sprintf("its certificate is not for %s but for %v", host, names(shown)),
			"use one of these names in KAFKA_BROKERS and in the broker's advertised.listeners, or have a certificate made for this one")
	case errors.As(refused, &invalid) && invalid.Reason == x509.Expired:
		return p.at(AtTLS, nil, fmt.Sprintf("its certificate is valid from %s to %s, and it is %s here",
			shown.NotBefore.Format(time.RFC3339), shown.NotAfter.Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339)),
			"renew it, or put the clock right")
	case p.cluster.CAFile == "":
		return p.at(AtTLS, nil, fmt.Sprintf("its certificate is signed by %q, whom this machine does not trust", shown.Issuer),
			"set KAFKA_TLS_CA_FILE to the certificate of that authority, in PEM")
	default:
		return p.at(AtTLS, nil, fmt.Sprintf("its certificate is signed by %q, whose certificate is not the one in %s", shown.Issuer, p.cluster.CAFile),
			"set KAFKA_TLS_CA_FILE to the certificate of that authority")
	}
}

func names(c *x509.Certificate) []string {
	all := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	return all
}
