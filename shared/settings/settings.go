// Package settings is what the environment can set, for every way to run the program. It is read once, at the start; all
// faults are reported together, each with its name and an example. No error repeats a value: it could be a secret that was
// put into the wrong setting.
package settings

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Settings are those of the environment.
type Settings struct {
	Serve               Serve
	Brokers             Kafka
	Web                 Web
	Notify              Notify
	Store               string     // STORE: the path of a SQLite file, or dynamodb
	Table               string     // TABLE_NAME: DynamoDB's table of the read model
	ClaimsTable         string     // CLAIMS_TABLE_NAME: DynamoDB's table of the delivery claims; it stays when TABLE_NAME changes
	ClaimsFile          string     // CLAIMS_FILE: the SQLite file of the delivery claims; "" = claims.db in the folder of STORE
	AnnouncedByProducer []string   // ANNOUNCED_BY_PRODUCER: producers that write their own notifications
	PartialBatches      bool       // PARTIAL_BATCH_RESPONSES: on Lambda, the mapping has ReportBatchItemFailures
	LogLevel            slog.Level // LOG_LEVEL: debug, info, warn or error
	LogFormat           string     // LOG_FORMAT: text or json; "" = text on a terminal and for commands that end, JSON elsewhere
	Health              string     // HEALTH: where a worker serves /healthz and /readyz; "" = nowhere
	Metrics             string     // METRICS: where /metrics is served; "" = beside the API, if that is on loopback
}

// Serve are the settings of `sipeat serve`.
type Serve struct {
	HTTP  string // SIPEAT_HTTP: address of the API; loopback, because callers are not authenticated
	Kafka string // SIPEAT_KAFKA: address of the embedded broker; loopback for the same reason
	Data  string // SIPEAT_DATA: folder of the broker's log and the read model
}

// The login mechanisms, as Kafka spells them. AWS_MSK_IAM uses AWS's own credentials.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
	AWSMSKIAM   = "AWS_MSK_IAM"
)

// Kafka holds the settings to reach the brokers.
type Kafka struct {
	Brokers        []string      // host:port of some of the brokers, which name the others; KAFKA_BROKERS
	TLS            bool          // KAFKA_TLS; implied by KAFKA_TLS_CA_FILE and AWS_MSK_IAM
	CAFile         string        // KAFKA_TLS_CA_FILE: trusted authorities, in PEM; "" = the system's
	Mechanism      string        // KAFKA_SASL_MECHANISM: one of those above; "" = no login
	Username       string        // KAFKA_SASL_USERNAME
	Password       string        // KAFKA_SASL_PASSWORD
	Plaintext      bool          // KAFKA_TLS=false is set: a password may cross the network unencrypted
	SessionTimeout time.Duration // KAFKA_SESSION_TIMEOUT: after which a group gives up a dead worker; 0 = 10 s
	InstanceID     string        // KAFKA_INSTANCE_ID: this worker's own name in its groups; "" = none
	ServerSide     bool          // KAFKA_GROUP_PROTOCOL=consumer: the brokers assign partitions (KIP-848), in new groups

	// AWSCredentials, if set, returns the credentials of each login of AWS_MSK_IAM; otherwise they are AWS_ACCESS_KEY_ID and so on.
	AWSCredentials func(context.Context) (AWSCredentials, error)
}

// AWSCredentials are those of a login.
type AWSCredentials struct{ AccessKey, SecretKey, SessionToken string }

// Notify are the notification channels, unparsed: package notify checks them.
type Notify struct {
	Channels       string        // NOTIFY: a list of log, smtp, ses, discord
	From           string        // NOTIFY_FROM: sender of mail
	To             string        // NOTIFY_TO: recipients of notifications that name none
	SMTPURL        string        // SMTP_URL
	DiscordWebhook string        // DISCORD_WEBHOOK
	RetryFor       time.Duration // NOTIFY_RETRY_FOR: age at which a notification is given up if only its recipient is refused
}

const (
	DynamoDB     = "dynamodb"              // the STORE that is no file
	DefaultStore = ".sipeat/read-model.db" // the read model of `sipeat serve` too
)

// Read reads the environment by getenv, such as [os.Getenv]. Defaults are those of a laptop.
func Read(getenv func(string) string) (Settings, error) {
	r := reader{getenv: getenv}
	s := Settings{
		Serve: Serve{
			HTTP:  r.text("SIPEAT_HTTP", "127.0.0.1:8080"),
			Kafka: r.text("SIPEAT_KAFKA", "127.0.0.1:9092"),
			Data:  r.text("SIPEAT_DATA", ".sipeat"),
		},
		Brokers: r.kafka(),
		Web:     r.web(),
		Notify: Notify{
			Channels:       r.text("NOTIFY", "log"),
			From:           r.text("NOTIFY_FROM", ""),
			To:             r.text("NOTIFY_TO", ""),
			SMTPURL:        r.text("SMTP_URL", ""),
			DiscordWebhook: r.text("DISCORD_WEBHOOK", ""),
			RetryFor:       r.duration("NOTIFY_RETRY_FOR", "24h", time.Second, 30*24*time.Hour),
		},
		Store:               r.text("STORE", DefaultStore),
		Table:               r.text("TABLE_NAME", "sipeat"),
		ClaimsTable:         r.text("CLAIMS_TABLE_NAME", "sipeat-claims"),
		ClaimsFile:          r.text("CLAIMS_FILE", ""),
		AnnouncedByProducer: r.list("ANNOUNCED_BY_PRODUCER", "sipeat-app"),
		PartialBatches:      r.flag("PARTIAL_BATCH_RESPONSES"),
		LogFormat:           strings.ToLower(r.text("LOG_FORMAT", "")),
		Health:              r.text("HEALTH", ""),
		Metrics:             r.text("METRICS", ""),
	}
	if slices.Equal(s.AnnouncedByProducer, []string{"none"}) {
		s.AnnouncedByProducer = nil
	}
	r.check(strings.Contains(s.Store, "://") || s.Store != DynamoDB && strings.EqualFold(s.Store, DynamoDB), "STORE",
		"must be the path of a SQLite file, or dynamodb; for example "+DefaultStore)
	r.check(!slices.Contains([]string{"", "text", "json"}, s.LogFormat), "LOG_FORMAT", "must be text or json")
	r.check(s.Health != "" && !isAddress(s.Health), "HEALTH", "must be host:port; for example 127.0.0.1:8081")
	r.check(s.Metrics != "" && !isAddress(s.Metrics), "METRICS", "must be host:port; for example 127.0.0.1:9100")
	r.check(s.LogLevel.UnmarshalText([]byte(r.text("LOG_LEVEL", "info"))) != nil, "LOG_LEVEL", "must be debug, info, warn or error")
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
	for name, table := range map[string]string{"TABLE_NAME": s.Table, "CLAIMS_TABLE_NAME": s.ClaimsTable} {
		r.check(len(table) < 3 || len(table) > 255 || !isName(table, "._-"), name,
			"must be 3 to 255 letters, digits, dots, dashes and underscores; for example sipeat")
	}
	r.check(s.Table == s.ClaimsTable, "CLAIMS_TABLE_NAME", "must be another table than TABLE_NAME")
	return s, errors.Join(r.faults...)
}

func (r *reader) kafka() Kafka {
	k := Kafka{
		Brokers:        r.list("KAFKA_BROKERS", "127.0.0.1:9092"),
		CAFile:         r.text("KAFKA_TLS_CA_FILE", ""),
		Mechanism:      strings.ToUpper(r.text("KAFKA_SASL_MECHANISM", "")),
		Username:       r.text("KAFKA_SASL_USERNAME", ""),
		Password:       strings.TrimRight(r.getenv("KAFKA_SASL_PASSWORD"), "\r\n"), // may begin or end with a space
		InstanceID:     r.text("KAFKA_INSTANCE_ID", ""),
		SessionTimeout: r.duration("KAFKA_SESSION_TIMEOUT", "10s", time.Second, 30*time.Minute),
	}
	protocol := r.text("KAFKA_GROUP_PROTOCOL", "classic")
	k.ServerSide = protocol == "consumer"
	r.check(!k.ServerSide && protocol != "classic", "KAFKA_GROUP_PROTOCOL", "must be classic or consumer")
	k.TLS = k.CAFile != "" || k.Mechanism == AWSMSKIAM
	if r.text("KAFKA_TLS", "") != "" {
		k.TLS = r.flag("KAFKA_TLS")
		k.Plaintext = !k.TLS
	}
	r.check(len(k.Brokers) == 0 || slices.ContainsFunc(k.Brokers, func(b string) bool { return !isAddress(b) }), "KAFKA_BROKERS",
		"must be host:port of one or more brokers, separated by commas; for example 127.0.0.1:9092")
	r.check(k.Plaintext && (k.CAFile != "" || k.Mechanism == AWSMSKIAM), "KAFKA_TLS=false",
		"contradicts KAFKA_TLS_CA_FILE and AWS_MSK_IAM, which need TLS; remove it")
	_, err := k.TLSConfig()
	r.check(err != nil, "KAFKA_TLS_CA_FILE", fmt.Sprint(err))
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
	return k
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

// Check checks the addresses and the folder of serve, which may come from flags.
func (s Serve) Check() error {
	var r reader
	const text = "must be host:port, on this machine because callers are not authenticated; for example 127.0.0.1:8080"
	r.check(!isAddress(s.HTTP) || !IsLoopback(s.HTTP), "--http (SIPEAT_HTTP)", text)
	r.check(!isAddress(s.Kafka) || !IsLoopback(s.Kafka), "--kafka (SIPEAT_KAFKA)", text)
	r.check(s.Data == "", "--data (SIPEAT_DATA)", "must name a folder; for example .sipeat")
	return errors.Join(r.faults...)
}

func isAddress(address string) bool {
	host, port, err := net.SplitHostPort(address)
	_, notNumber := strconv.ParseUint(port, 10, 16)
	return err == nil && notNumber == nil && host != "" && !strings.Contains(host, "@")
}

// IsLoopback reports whether only this machine reaches the address, a host with a port or without.
func IsLoopback(address string) bool {
	host := (&url.URL{Host: address}).Hostname()
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

func isName(s, signs string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"+signs) == ""
}

type reader struct {
	getenv func(string) string
	faults []error
}

func (r *reader) check(wrong bool, name, text string) {
	if wrong {
		r.faults = append(r.faults, fmt.Errorf("%s: %s", name, text))
	}
}

func (r *reader) text(name, fallback string) string {
	return cmp.Or(strings.TrimSpace(r.getenv(name)), fallback)
}

func (r *reader) list(name, fallback string) []string {
	var values []string
	for value := range strings.SplitSeq(r.text(name, fallback), ",") {
		if value = strings.TrimSpace(value); value != "" {
			values = append(values, value)
		}
	}
	return values
}

func (r *reader) flag(name string) bool {
	on, err := strconv.ParseBool(r.text(name, "false"))
	r.check(err != nil, name, "must be true or false")
	return on
}

func (r *reader) duration(name, fallback string, shortest, longest time.Duration) time.Duration {
	d, err := time.ParseDuration(r.text(name, fallback))
	r.check(err != nil || d < shortest || d > longest, name, fmt.Sprintf("must be a duration from %v to %v; for example %s",
		shortest, longest, fallback))
	return d
}

// rate is a number of requests a second; 0 = no limit.
func (r *reader) rate(name, fallback string) float64 {
	text := r.text(name, fallback)
	rate, err := strconv.ParseFloat(text, 64)
	r.check(text != "off" && (err != nil || !(rate >= 0.001 && rate <= 1e6)), name,
		"must be a number from 0.001 to 1000000, or off; for example "+fallback)
	return rate
}

func (r *reader) count(name, fallback string) int {
	n, err := strconv.Atoi(r.text(name, fallback))
	r.check(err != nil || n < 1 || n > 1e6, name, "must be a whole number from 1 to 1000000; for example "+fallback)
	return n
}
