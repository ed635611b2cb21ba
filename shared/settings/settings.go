// Package settings is what the environment can set, for every way to run the program. It is read once, at the start; all
// faults are reported together, each with its name and an example. No error repeats a value: it could be a secret that was
// put into the wrong setting.
package settings

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
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

// Notify are the notification channels, unparsed: package notify checks them.
type Notify struct {
	Channels       string        // NOTIFY: a list of log, smtp, ses, discord
	From           string        // NOTIFY_FROM: sender of mail
	To             string        // NOTIFY_TO: recipients of notifications that name none
	SMTPURL        string        // SMTP_URL
	DiscordWebhook string        // DISCORD_WEBHOOK
	RetryFor       time.Duration // NOTIFY_RETRY_FOR: age at which a notification is given up if only its recipient is refused
}

// DynamoDB is the STORE that is no file.
const DynamoDB = "dynamodb"

// DefaultStore is the read model of `sipeat serve` too.
const DefaultStore = ".sipeat/read-model.db"

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
	r.check(strings.Contains(s.Store, "://"), "STORE", "must be the path of a SQLite file, or dynamodb; for example "+DefaultStore)
	r.check(!slices.Contains([]string{"", "text", "json"}, s.LogFormat), "LOG_FORMAT", "must be text or json")
	r.check(s.Health != "" && Address(s.Health) != nil, "HEALTH", "must be host:port; for example 127.0.0.1:8081")
	r.check(s.Metrics != "" && Address(s.Metrics) != nil, "METRICS", "must be host:port; for example 127.0.0.1:9100")
	r.check(s.LogLevel.UnmarshalText([]byte(r.text("LOG_LEVEL", "info"))) != nil, "LOG_LEVEL", "must be debug, info, warn or error")
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
	for name, table := range map[string]string{"TABLE_NAME": s.Table, "CLAIMS_TABLE_NAME": s.ClaimsTable} {
		r.check(len(table) < 3 || len(table) > 255 || !isName(table, "._-"), name,
			"must be 3 to 255 letters, digits, dots, dashes and underscores; for example sipeat")
	}
	r.check(s.Table == s.ClaimsTable, "CLAIMS_TABLE_NAME", "must be another table than TABLE_NAME")
	return s, errors.Join(append(r.faults, s.Brokers.Check())...)
}

// Names lists the settings that [Read] reads.
func Names() []string {
	names := map[string]bool{}
	for _, auth := range []string{"", "jwt", "token"} {
		_, _ = Read(func(name string) string {
			names[name] = true
			return map[string]string{"AUTH": auth}[name]
		})
	}
	return slices.Sorted(maps.Keys(names))
}

// Check checks the addresses and the folder of serve, which may come from flags.
func (s Serve) Check() error {
	var r reader
	for _, a := range []struct{ name, address string }{{"--http (SIPEAT_HTTP)", s.HTTP}, {"--kafka (SIPEAT_KAFKA)", s.Kafka}} {
		r.check(Address(a.address) != nil || !IsLoopback(a.address), a.name,
			"must be host:port with a port up to 65535, on this machine because callers are not authenticated; for example 127.0.0.1:8080")
	}
	r.check(s.Data == "", "--data (SIPEAT_DATA)", "must name a folder; for example .sipeat")
	return errors.Join(r.faults...)
}

// Address checks a host:port.
func Address(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || host == "" || strings.Contains(host, "@") {
		return errors.New("must be host:port with a port from 0 to 65535; for example 127.0.0.1:9092")
	}
	return nil
}

// IsLoopback reports whether only this machine reaches the address.
func IsLoopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// isName reports whether s has only letters, digits and the given signs.
func isName(s, signs string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"+signs) == ""
}

// reader reads settings and collects faults.
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
	if value := strings.TrimSpace(r.getenv(name)); value != "" {
		return value
	}
	return fallback
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
	if text == "off" {
		return 0
	}
	rate, err := strconv.ParseFloat(text, 64)
	r.check(err != nil || !(rate >= 0.001 && rate <= 1e6), name,
		"must be a number from 0.001 to 1000000, or off; for example "+fallback)
	return rate
}

func (r *reader) count(name, fallback string) int {
	n, err := strconv.Atoi(r.text(name, fallback))
	r.check(err != nil || n < 1 || n > 1e6, name, "must be a whole number from 1 to 1000000; for example "+fallback)
	return n
}
