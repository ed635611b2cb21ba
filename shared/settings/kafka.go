package settings

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The login mechanisms, as Kafka spells them. AWS_MSK_IAM uses AWS's own credentials.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
	AWSMSKIAM   = "AWS_MSK_IAM"
)

// Kafka holds the settings to reach the brokers.
type Kafka struct {
	Brokers   []string // host:port of some of the brokers, which name the others; KAFKA_BROKERS
	TLS       bool     // KAFKA_TLS; implied by KAFKA_TLS_CA_FILE and AWS_MSK_IAM
	CAFile    string   // KAFKA_TLS_CA_FILE: trusted authorities, in PEM; "" = the system's
	Mechanism string   // KAFKA_SASL_MECHANISM: one of those above; "" = no login
	Username  string   // KAFKA_SASL_USERNAME
	Password  string   // KAFKA_SASL_PASSWORD
	Plaintext bool     // KAFKA_TLS=false is set: a password may cross the network unencrypted

	SessionTimeout time.Duration // KAFKA_SESSION_TIMEOUT: after which a group gives up a dead worker; 0 = the default
	InstanceID     string        // KAFKA_INSTANCE_ID: this worker's own name in its groups; "" = none

	// AWSCredentials, if set, returns the credentials of each login of AWS_MSK_IAM; otherwise they are AWS_ACCESS_KEY_ID and so on.
	AWSCredentials func(context.Context) (AWSCredentials, error)
}

// AWSCredentials sign a login.
type AWSCredentials struct{ AccessKey, SecretKey, SessionToken string }

func (r *reader) kafka() Kafka {
	k := Kafka{
		Brokers:    r.list("KAFKA_BROKERS", "127.0.0.1:9092"),
		CAFile:     r.text("KAFKA_TLS_CA_FILE", ""),
		Mechanism:  strings.ToUpper(r.text("KAFKA_SASL_MECHANISM", "")),
		Username:   r.text("KAFKA_SASL_USERNAME", ""),
		Password:   r.getenv("KAFKA_SASL_PASSWORD"), // may begin or end with a space
		InstanceID: r.text("KAFKA_INSTANCE_ID", ""),
	}
	k.TLS = k.CAFile != "" || k.Mechanism == AWSMSKIAM
	if text := r.text("KAFKA_TLS", ""); text != "" {
		on, err := strconv.ParseBool(text)
		r.check(err != nil, "KAFKA_TLS", "must be true or false")
		k.TLS, k.Plaintext = on, err == nil && !on
	}
	if r.text("KAFKA_SESSION_TIMEOUT", "") != "" {
		k.SessionTimeout = r.duration("KAFKA_SESSION_TIMEOUT", "10s", time.Second, 30*time.Minute)
	}
	return k
}

// Check returns everything that is wrong, with examples.
func (k Kafka) Check() error {
	var r reader
	r.check(len(k.Brokers) == 0 || slices.ContainsFunc(k.Brokers, func(b string) bool { return Address(b) != nil }), "KAFKA_BROKERS",
		"must be host:port of one or more brokers, separated by commas; for example 127.0.0.1:9092")
	r.check(k.Plaintext && (k.CAFile != "" || k.Mechanism == AWSMSKIAM), "KAFKA_TLS=false",
		"contradicts KAFKA_TLS_CA_FILE and AWS_MSK_IAM, which need TLS; remove it")
	if _, err := k.TLSConfig(); err != nil {
		r.check(true, "KAFKA_TLS_CA_FILE", err.Error())
	}
	switch k.Mechanism {
	case "", AWSMSKIAM:
		r.check(k.Username+k.Password != "", "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD", "need KAFKA_SASL_MECHANISM=PLAIN, "+
			"SCRAM-SHA-256 or SCRAM-SHA-512; AWS_MSK_IAM uses AWS's credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID and so on)")
	case Plain, ScramSHA256, ScramSHA512:
		r.check(k.Username == "" || k.Password == "", "KAFKA_SASL_MECHANISM", "needs both KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD")
		remote := slices.ContainsFunc(k.Brokers, func(b string) bool { return !IsLoopback(b) })
		r.check(k.Mechanism == Plain && !k.TLS && !k.Plaintext && remote, "KAFKA_SASL_MECHANISM=PLAIN",
			"sends the password unencrypted; set KAFKA_TLS=true, or KAFKA_TLS=false if the network is trusted")
	default:
		r.check(true, "KAFKA_SASL_MECHANISM", "must be PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or AWS_MSK_IAM")
	}
	r.check(len(k.InstanceID) > 249 || !isName(k.InstanceID, "._-"), "KAFKA_INSTANCE_ID",
		"must be at most 249 letters, digits, dots, dashes and underscores; for example worker-1")
	return errors.Join(r.faults...)
}

// TLSConfig is the TLS configuration for the brokers; nil = no TLS. It reads the CA file.
func (k Kafka) TLSConfig() (*tls.Config, error) {
	if !k.TLS {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if k.CAFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(k.CAFile)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", errors.Unwrap(err)) // without the path
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("must be a file with certificates in PEM (-----BEGIN CERTIFICATE-----); for example /etc/kafka/ca.pem")
	}
	return config, nil
}
