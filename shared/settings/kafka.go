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

// The ways to log in, as Kafka spells them. With AWS_MSK_IAM it is AWS's own credentials that count.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
	AWSMSKIAM   = "AWS_MSK_IAM"
)

var mechanisms = []string{Plain, ScramSHA256, ScramSHA512, AWSMSKIAM}

// Kafka says how to reach the brokers.
type Kafka struct {
	Brokers   []string // host:port of some of the brokers, which name the others; KAFKA_BROKERS
	TLS       bool     // KAFKA_TLS; true too where KAFKA_TLS_CA_FILE or AWS_MSK_IAM says so
	CAFile    string   // KAFKA_TLS_CA_FILE: whom to trust, in PEM; "" = whom the system trusts
	Mechanism string   // KAFKA_SASL_MECHANISM: one of those above; "" = nobody asks
	Username  string   // KAFKA_SASL_USERNAME
	Password  string   // KAFKA_SASL_PASSWORD
	InTheOpen bool     // KAFKA_TLS=false was said: a password may cross the network as it is

	SessionTimeout time.Duration // KAFKA_SESSION_TIMEOUT: after how long a group gives up a worker that died; 0 = the default
	InstanceID     string        // KAFKA_INSTANCE_ID: this worker's own name in its groups; "" = none

	// AWSCredentials, if set, is asked at each login of AWS_MSK_IAM; otherwise it is AWS_ACCESS_KEY_ID and its like.
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
		Password:   r.getenv("KAFKA_SASL_PASSWORD"), // a blank may belong to it
		InstanceID: r.text("KAFKA_INSTANCE_ID", ""),
	}
	k.TLS = k.CAFile != "" || k.Mechanism == AWSMSKIAM
	if said := r.text("KAFKA_TLS", ""); said != "" {
		on, err := strconv.ParseBool(said)
		if err != nil {
			r.check("KAFKA_TLS", fmt.Errorf("%q is neither true nor false; for example KAFKA_TLS=true", said))
		} else {
			k.TLS, k.InTheOpen = on, !on
		}
	}
	if said := r.text("KAFKA_SESSION_TIMEOUT", ""); said != "" {
		d, err := time.ParseDuration(said)
		if err != nil || d < time.Second || d > 30*time.Minute {
			err = fmt.Errorf("%q is no time from 1s to 30m; for example KAFKA_SESSION_TIMEOUT=10s", said)
		}
		r.check("KAFKA_SESSION_TIMEOUT", err)
		k.SessionTimeout = d
	}
	return k
}

// Check says what cannot be right, all of it, each with an example.
func (k Kafka) Check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if len(k.Brokers) == 0 {
		fault("KAFKA_BROKERS: no broker is named; for example KAFKA_BROKERS=127.0.0.1:9092")
	}
	for _, b := range k.Brokers {
		if err := Address(b); err != nil {
			fault("KAFKA_BROKERS: %w", err)
		}
	}
	if k.InTheOpen && k.CAFile != "" {
		fault("KAFKA_TLS=false and KAFKA_TLS_CA_FILE: a certificate is looked at in TLS only; leave out one of the two")
	}
	if k.InTheOpen && k.Mechanism == AWSMSKIAM {
		fault("KAFKA_TLS=false and KAFKA_SASL_MECHANISM=AWS_MSK_IAM: MSK takes that login over TLS only; leave out KAFKA_TLS")
	}
	if _, err := k.TLSConfig(); err != nil {
		fault("KAFKA_TLS_CA_FILE: %w", err)
	}
	login := k.Username != "" || k.Password != ""
	switch {
	case k.Mechanism == "" && login:
		fault("KAFKA_SASL_USERNAME or KAFKA_SASL_PASSWORD without KAFKA_SASL_MECHANISM: say how to log in; for example KAFKA_SASL_MECHANISM=SCRAM-SHA-512 (or %s)",
			strings.Join([]string{ScramSHA256, Plain, AWSMSKIAM}, ", "))
	case k.Mechanism == "":
	case !slices.Contains(mechanisms, k.Mechanism):
		fault("KAFKA_SASL_MECHANISM: %q is none of %s", k.Mechanism, strings.Join(mechanisms, ", "))
	case k.Mechanism == AWSMSKIAM && login:
		fault("KAFKA_SASL_MECHANISM=AWS_MSK_IAM takes AWS's credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID and their like); leave out KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD")
	case k.Mechanism == AWSMSKIAM:
	case k.Username == "" || k.Password == "":
		fault("KAFKA_SASL_MECHANISM=%s wants both KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD; for example KAFKA_SASL_USERNAME=sipeat", k.Mechanism)
	case k.Mechanism == Plain && !k.TLS && !k.InTheOpen && slices.ContainsFunc(k.Brokers, func(b string) bool { return !loopback(b) }):
		fault("KAFKA_SASL_MECHANISM=PLAIN without TLS sends the password over the network for all to read: set KAFKA_TLS=true, or KAFKA_TLS=false if that network is yours alone")
	}
	if strings.ContainsFunc(k.InstanceID, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-", c)
	}) || len(k.InstanceID) > 249 {
		fault("KAFKA_INSTANCE_ID: %q has to be at most 249 letters, digits, dots, dashes and underscores; for example KAFKA_INSTANCE_ID=worker-1", k.InstanceID)
	}
	return errors.Join(faults...)
}

// TLSConfig is how to speak TLS to the brokers; nil = not at all. It reads the CA file.
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
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM (-----BEGIN CERTIFICATE-----); for example KAFKA_TLS_CA_FILE=/etc/kafka/ca.pem", k.CAFile)
	}
	return config, nil
}
