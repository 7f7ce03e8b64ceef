package harbour

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Account is a seeded account. The passwords are documented: this is a sample.
type Account struct {
	Name     string // short name, as attacks and traffic use it
	ID       int64
	Email    string
	Password string
	Role     string // customer, courier or admin
	Company  int64
	FullName string
}

const (
	northlight = 1 // alice's and bob's company
	juniper    = 2 // carol's
	house      = 3 // Harbour itself
)

// Accounts are the people that every Harbour knows.
func Accounts() []Account {
	return []Account{
		{"alice", 101, "alice@northlight.example", "alice-likes-lighthouses", customer, northlight, "Alice Lindqvist"},
		{"bob", 102, "bob@northlight.example", "bob-counts-the-boxes", customer, northlight, "Bob O'Brien"},
		{"carol", 103, "carol@juniper.example", "carol-grows-junipers", customer, juniper, "Carol Núñez"},
		{"dave", 201, "dave@harbour.example", "dave-drives-the-van", courier, house, "Dave Okafor"},
		{"erin", 202, "erin@harbour.example", "erin-knows-the-way", courier, house, "Erin Sato"},
		{"grace", 301, "grace@harbour.example", "grace-runs-the-office", admin, house, "Grace Müller"},
	}
}

// AccountNamed finds a seeded account, or one of the residents, by its short name.
func AccountNamed(name string) (Account, bool) {
	for _, a := range Accounts() {
		if a.Name == name {
			return a, true
		}
	}
	var n int
	if _, err := fmt.Sscanf(name, "resident%d", &n); err == nil && n >= 1 && n <= maxResidents {
		return Resident(n), true
	}
	return Account{}, false
}

// factory is the account that default-credentials leaves in place.
var factory = Account{"factory", 0, "admin@harbour.example", "admin", admin, house, "Administrator"}

const (
	maxResidents     = 2_000
	residentPassword = "resident-of-the-harbour"
	couriersAmong    = 10 // every tenth resident is a courier
)

// Resident is the nth of Options.Residents, counted from 1. Every tenth is a
// courier; the others are customers, four to a company.
func Resident(n int) Account {
	a := Account{
		Name: fmt.Sprintf("resident%d", n), ID: int64(1000 + n), Email: fmt.Sprintf("resident%d@harbour-town.example", n),
		Password: residentPassword, Role: customer, Company: int64(100 + n/4), FullName: residentName(n),
	}
	if n%couriersAmong == 0 {
		a.Role, a.Company = courier, house
	}
	return a
}

var (
	firstNames = []string{"Amélie", "Björn", "Chiamaka", "Dmitri", "Eoghan", "Fatıma", "Giulia", "Hiroshi", "Ingrid", "João", "Katarzyna", "Liam", "Mei", "Nguyễn", "Óscar", "Priya", "Søren", "Tamás", "Ursula", "Zoë"}
	lastNames  = []string{"O'Brien", "D'Angelo", "Select", "Union", "Müller-Lüdenscheidt", "van der Drop", "Nováková", "Sanchez", "O'Hara", "Table", "González", "Kowalski", "Null", "Īśvara", "St. John", "Andersson", "N'Diaye", "Script", "Weiß", "Ó Súilleabháin"}
)

func residentName(n int) string {
	return firstNames[n%len(firstNames)] + " " + lastNames[(n/len(firstNames)+n)%len(lastNames)]
}

// seed fills an empty database. A database file that has accounts is left as
// it is, but for the factory account, which comes and goes with its hole.
func (s *Server) seed() error {
	ctx := context.Background()
	n, err := one(ctx, s.db, scanInt, `SELECT count(*) FROM users`)
	if err == nil && n == 0 {
		err = s.seedAll(ctx)
	}
	if err != nil {
		return err
	}
	return s.seedFactory(ctx)
}

// seedFactory keeps default-credentials true to its state: open, the account
// that came with the product is there; fixed, it is not.
func (s *Server) seedFactory(ctx context.Context) error {
	_, err := exec(ctx, s.db, `DELETE FROM users WHERE email = ?`, factory.Email)
	if err == nil && s.open("default-credentials") {
		var hash string
		hash, err = s.hashPassword(factory.Password)
		if err == nil {
			_, err = exec(ctx, s.db, `INSERT INTO users (email, name, role, company_id, password_hash, created_at) VALUES (?, ?, ?, ?, ?, ?)`,
				factory.Email, factory.FullName, factory.Role, factory.Company, hash, stamp(s.now()))
		}
	}
	if err != nil {
		return fmt.Errorf("seeding the factory account: %w", err)
	}
	return nil
}

func (s *Server) seedAll(ctx context.Context) error {
	if s.opts.Residents > maxResidents {
		return fmt.Errorf("seeding: %d residents asked for, %d are possible", s.opts.Residents, maxResidents)
	}
	return s.inTx(ctx, func(tx *sql.Tx) error {
		for _, step := range []func(context.Context, *sql.Tx) error{s.seedAccounts, s.seedDepots, s.seedParcels, s.seedMoney} {
			if err := step(ctx, tx); err != nil {
				return fmt.Errorf("seeding: %w", err)
			}
		}
		return nil
	})
}

func (s *Server) seedAccounts(ctx context.Context, tx *sql.Tx) error {
	for id, name := range map[int]string{northlight: "Northlight Instruments", juniper: "Juniper Provisions", house: "Harbour"} {
		_, err := exec(ctx, tx, `INSERT INTO companies (id, name) VALUES (?, ?)`, id, name)
		if err != nil {
			return err
		}
	}
	all := Accounts()
	// The residents share a password, so they may share its hash: hashing it a thousand times shows nothing.
	shared, err := s.hashPassword(residentPassword)
	if err != nil {
		return err
	}
	for n := 1; n <= s.opts.Residents; n++ {
		all = append(all, Resident(n))
	}
	for _, a := range all {
		hash := shared
		if a.Password != residentPassword {
			hash, err = s.hashPassword(a.Password)
			if err != nil {
				return err
			}
		}
		balance := 0
		if a.Role == customer {
			balance = 5_000
		}
		_, err = exec(ctx, tx, `INSERT INTO users (id, email, name, phone, role, company_id, password_hash, balance_cents, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			a.ID, a.Email, a.FullName, fmt.Sprintf("+4940555%05d", a.ID), a.Role, a.Company, hash, balance, stamp(s.now().Add(-100*24*time.Hour)))
		if err == nil && a.Role == customer {
			_, err = exec(ctx, tx, `INSERT INTO addresses (customer_id, label, line1, city, postcode, country) VALUES (?, 'Office', ?, 'Hamburg', '20457', 'DE')`,
				a.ID, fmt.Sprintf("Am Sandtorkai %d", a.ID%90+1))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) seedDepots(ctx context.Context, tx *sql.Tx) error {
	for i, d := range []depot{
		{Name: "Speicherstadt", City: "Hamburg", Country: "DE", Capacity: 4000},
		{Name: "Europoort", City: "Rotterdam", Country: "NL", Capacity: 9000},
		{Name: "Nyhavn", City: "København", Country: "DK", Capacity: 1500},
		{Name: "Port Vell", City: "Barcelona", Country: "ES", Capacity: 2500},
		{Name: "Baile Átha Cliath", City: "Dublin", Country: "IE", Capacity: 1800},
		{Name: "Porto Antico", City: "Genova", Country: "IT", Capacity: 2200},
	} {
		_, err := exec(ctx, tx, `INSERT INTO depots (id, name, city, country, capacity, opens, closes) VALUES (?, ?, ?, ?, ?, '05:00', '22:00')`,
			i+1, d.Name, d.City, d.Country, d.Capacity)
		if err != nil {
			return err
		}
	}
	return nil
}

// seedParcels gives alice 60 parcels, bob 130 (more than a page), carol 40; the numbers begin at 5001.
func (s *Server) seedParcels(ctx context.Context, tx *sql.Tx) error {
	id := int64(5000)
	path := []string{booked, paid, dispatched, inTransit, outForDelivery, delivered, delivered, delivered}
	for i, count := range []int{60, 130, 40} {
		a := Accounts()[i]
		for n := range count {
			id++
			service := services[n%3]
			grams := int64(400 + n*137%9000)
			status := path[n%len(path)]
			courierID, depotID := int64(0), int64(0)
			if status == outForDelivery || status == delivered {
				courierID = 201 + int64(n/8%2)
			}
			if status != booked && status != paid {
				depotID = int64(n%6 + 1)
			}
			created := s.now().Add(-time.Duration(id%500+30) * time.Hour)
			_, err := exec(ctx, tx, `INSERT INTO parcels (`+parcelColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?, ?, ?, ?, ?, ?)`,
				id, s.newTrackingCode(), a.ID, a.Company, courierID, depotID, status, service, grams,
				residentName(n), fmt.Sprintf("recipient%d@post.example", id), fmt.Sprintf("+49170%07d", id), fmt.Sprintf("Deichstraße %d", n+1),
				[]string{"Hamburg", "Rotterdam", "Dublin"}[n%3], fmt.Sprintf("%05d", 20000+n), []string{"DE", "NL", "IE"}[n%3],
				fmt.Sprintf("PO-%d", id), 1000+n*250, priceOf(service, grams), stamp(created))
			if err == nil {
				_, err = exec(ctx, tx, `INSERT INTO events (parcel_id, at, status) VALUES (?, ?, ?)`, id, stamp(created), booked)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// seedMoney gives each company twelve invoices and each named customer a card.
func (s *Server) seedMoney(ctx context.Context, tx *sql.Tx) error {
	companies := []int64{northlight, juniper}
	for n := 1; n <= s.opts.Residents; n += 4 {
		companies = append(companies, Resident(n).Company)
	}
	for _, company := range companies {
		for month := 1; month <= 12; month++ {
			id := s.newUUID()
			status := "paid"
			if month > 8 {
				status = "open"
			}
			total := company*100 + int64(month)*1111
			_, err := exec(ctx, tx, `INSERT INTO invoices (id, number, company_id, period, total_cents, status, issued_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
				id, fmt.Sprintf("INV-%d-%02d", company, month), company, fmt.Sprintf("2025-%02d", month), total, status, fmt.Sprintf("2025-%02d-28T08:00:00Z", month))
			if err == nil {
				_, err = exec(ctx, tx, `INSERT INTO invoice_lines (invoice_id, text, amount_cents) VALUES (?, 'Carriage', ?), (?, 'Fuel surcharge', ?)`, id, total-total/10, id, total/10)
			}
			if err != nil {
				return err
			}
		}
	}
	for i, number := range []string{"4111111111111111", "5555555555554444", "4012888888881881"} {
		a := Accounts()[i]
		_, err := exec(ctx, tx, `INSERT INTO cards (id, customer_id, number, holder, expiry, brand, created_at) VALUES (?, ?, ?, ?, '12/29', ?, ?)`,
			s.newUUID(), a.ID, number, a.FullName, brandOf(number), stamp(s.now().Add(-90*24*time.Hour)))
		if err != nil {
			return err
		}
	}
	return nil
}
