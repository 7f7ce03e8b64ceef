package harbour

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// A parcel's life: booked → paid → dispatched → in_transit → out_for_delivery → delivered, or cancelled while booked.
const (
	booked         = "booked"
	paid           = "paid"
	dispatched     = "dispatched"
	inTransit      = "in_transit"
	outForDelivery = "out_for_delivery"
	delivered      = "delivered"
	cancelled      = "cancelled"
)

var (
	statuses = []string{booked, paid, dispatched, inTransit, outForDelivery, delivered, cancelled}
	services = []string{"economy", "standard", "express"}
)

type recipient struct {
	Name  string `json:"name"`
	Email string `json:"email,omitempty"`
	Phone string `json:"phone,omitempty"`
}

type destination struct {
	Line1    string `json:"line1"`
	Line2    string `json:"line2,omitempty"`
	City     string `json:"city"`
	Postcode string `json:"postcode"`
	Country  string `json:"country"`
}

type parcel struct {
	ID            int64       `json:"id"`
	TrackingCode  string      `json:"tracking_code"`
	CustomerID    int64       `json:"customer_id"`
	CompanyID     int64       `json:"company_id"`
	CourierID     int64       `json:"courier_id,omitempty"`
	DepotID       int64       `json:"depot_id,omitempty"`
	Status        string      `json:"status"`
	Service       string      `json:"service"`
	WeightGrams   int64       `json:"weight_grams"`
	Recipient     recipient   `json:"recipient"`
	Destination   destination `json:"destination"`
	Reference     string      `json:"reference,omitempty"`
	DeclaredValue int64       `json:"declared_value_cents"`
	Price         int64       `json:"price_cents"`
	CreatedAt     string      `json:"created_at"`

	Events []event `json:"events,omitempty"` // with expand=events
	Notes  []note  `json:"notes,omitempty"`  // with expand=notes

	Customer *expandedCustomer `json:"customer,omitempty"` // only in the open branch of limit-expand
}

const parcelColumns = `id, tracking_code, customer_id, company_id, courier_id, depot_id, status, service, weight_grams,
	recipient_name, recipient_email, recipient_phone, line1, line2, city, postcode, country, reference, declared_value_cents, price_cents, created_at`

const parcelQuery = `SELECT ` + parcelColumns + ` FROM parcels`

func scanParcel(r scanner) (parcel, error) {
	var p parcel
	return p, r.Scan(&p.ID, &p.TrackingCode, &p.CustomerID, &p.CompanyID, &p.CourierID, &p.DepotID, &p.Status, &p.Service, &p.WeightGrams,
		&p.Recipient.Name, &p.Recipient.Email, &p.Recipient.Phone, &p.Destination.Line1, &p.Destination.Line2, &p.Destination.City,
		&p.Destination.Postcode, &p.Destination.Country, &p.Reference, &p.DeclaredValue, &p.Price, &p.CreatedAt)
}

type event struct {
	At      string `json:"at"`
	Status  string `json:"status"`
	DepotID int64  `json:"depot_id,omitempty"`
	Note    string `json:"note,omitempty"`
}

func scanEvent(r scanner) (event, error) {
	var e event
	return e, r.Scan(&e.At, &e.Status, &e.DepotID, &e.Note)
}

func (s *Server) eventsOf(ctx context.Context, parcelID int64) ([]event, error) {
	return many(ctx, s.db, scanEvent, `SELECT at, status, depot_id, note FROM events WHERE parcel_id = ? ORDER BY id LIMIT 100`, parcelID)
}

func (s *Server) addEvent(ctx context.Context, parcelID int64, status string, depotID int64, text string) error {
	_, err := exec(ctx, s.db, `INSERT INTO events (parcel_id, at, status, depot_id, note) VALUES (?, ?, ?, ?, ?)`, parcelID, stamp(s.now()), status, depotID, text)
	if err != nil {
		return fmt.Errorf("adding an event to parcel %d: %w", parcelID, err)
	}
	return nil
}

type parcelInput struct {
	Service       string      `json:"service"`
	WeightGrams   int64       `json:"weight_grams"`
	Recipient     recipient   `json:"recipient"`
	Destination   destination `json:"destination"`
	Reference     string      `json:"reference"`
	DeclaredValue int64       `json:"declared_value_cents"`
}

func (r recipient) check(k *checker, at string) {
	k.text(at+"/name", r.Name, 1, 80)
	if r.Email != "" {
		k.email(at+"/email", r.Email)
	}
	k.optional(at+"/phone", r.Phone, rePhone)
}

func (d destination) check(k *checker, at string) {
	k.text(at+"/line1", d.Line1, 1, 120)
	k.text(at+"/line2", d.Line2, 0, 120)
	k.text(at+"/city", d.City, 1, 80)
	k.match(at+"/postcode", d.Postcode, rePostcode)
	k.match(at+"/country", d.Country, reCountry)
}

func (in parcelInput) check(k *checker, at string) {
	k.oneOf(at+"/service", in.Service, services...)
	k.number(at+"/weight_grams", in.WeightGrams, 1, 30_000)
	in.Recipient.check(k, at+"/recipient")
	in.Destination.check(k, at+"/destination")
	k.optional(at+"/reference", in.Reference, reRef)
	k.number(at+"/declared_value_cents", in.DeclaredValue, 0, 10_000_000)
}

// priceOf is a tariff: a base a service, and so much a started kilogram.
func priceOf(service string, grams int64) int64 {
	base := map[string]int64{"economy": 390, "standard": 590, "express": 1290}[service]
	return base + (grams+999)/1000*110
}

func (s *Server) createParcel(c *call) error {
	var in parcelInput
	var price *int64
	if s.open("mass-assign-price") {
		// The app computes the price for display and sends it along; here it is believed.
		var all struct {
			parcelInput
			Price *int64 `json:"price_cents"`
		}
		err := c.decode(&all)
		if err != nil {
			return err
		}
		in, price = all.parcelInput, all.Price
	} else if err := c.decode(&in); err != nil {
		return err
	}
	var k checker
	in.check(&k, "")
	if err := k.err(); err != nil {
		return err
	}
	if price == nil {
		p := priceOf(in.Service, in.WeightGrams)
		price = &p
	}
	p, err := s.addParcel(c, in, *price)
	if err != nil {
		return err
	}
	return c.send(http.StatusCreated, p)
}

func (s *Server) addParcel(c *call, in parcelInput, price int64) (parcel, error) {
	p, err := one(c.ctx(), s.db, scanParcel, `INSERT INTO parcels (tracking_code, customer_id, company_id, status, service, weight_grams,
		recipient_name, recipient_email, recipient_phone, line1, line2, city, postcode, country, reference, declared_value_cents, price_cents, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING `+parcelColumns,
		s.newTrackingCode(), c.who.ID, c.who.Company, booked, in.Service, in.WeightGrams, in.Recipient.Name, in.Recipient.Email, in.Recipient.Phone,
		in.Destination.Line1, in.Destination.Line2, in.Destination.City, in.Destination.Postcode, in.Destination.Country, in.Reference, in.DeclaredValue, price, stamp(s.now()))
	if err != nil {
		return p, fmt.Errorf("booking a parcel: %w", err)
	}
	return p, s.addEvent(c.ctx(), p.ID, booked, 0, "")
}

// mayRead is who sees a parcel: its customer, the courier who carries it, an admin.
func (w caller) mayRead(p parcel) bool {
	switch w.Role {
	case admin:
		return true
	case courier:
		return p.CourierID == w.ID
	}
	return p.CustomerID == w.ID
}

func (s *Server) parcelByID(ctx context.Context, id int64) (parcel, error) {
	p, err := one(ctx, s.db, scanParcel, parcelQuery+` WHERE id = ?`, id)
	if errors.Is(err, errNoRow) {
		return p, notFound("parcel")
	}
	return p, err
}

// ownParcel is the parcel that the path names, if it is the caller's to see.
func (s *Server) ownParcel(c *call) (parcel, error) {
	id, err := c.pathInt("parcel_id")
	if err != nil {
		return parcel{}, err
	}
	p, err := s.parcelByID(c.ctx(), id)
	if err == nil && !c.who.mayRead(p) {
		return parcel{}, notFound("parcel")
	}
	return p, err
}

func (s *Server) getParcel(c *call) error {
	id, err := c.pathInt("parcel_id")
	if err != nil {
		return err
	}
	p, err := s.parcelByID(c.ctx(), id)
	if err != nil {
		return err
	}
	// With bola-parcel-path any number is looked up; whose parcel it is, nobody asks.
	if !c.who.mayRead(p) && !s.open("bola-parcel-path") {
		return notFound("parcel")
	}
	err = s.expand(c, &p)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, p)
}

type expandedCustomer struct {
	ID      int64    `json:"id"`
	Name    string   `json:"name"`
	Parcels []parcel `json:"parcels,omitempty"`
}

// expand adds what the query parameter expand asks for: events, notes, or both.
func (s *Server) expand(c *call, p *parcel) error {
	text := c.param("expand")
	if text == "" {
		return nil
	}
	if s.open("limit-expand") && strings.HasPrefix(text, "customer") {
		// Relations are followed as deep as the query says: each customer.parcels multiplies the answer.
		return s.expandDeep(c.ctx(), p, strings.Split(text, "."))
	}
	for _, part := range strings.Split(text, ",") {
		var err error
		switch part {
		case "events":
			p.Events, err = s.eventsOf(c.ctx(), p.ID)
		case "notes":
			p.Notes, err = s.notesOf(c.ctx(), *p)
		default:
			return invalid("expand", "events and notes can be expanded, nothing else")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) expandDeep(ctx context.Context, p *parcel, path []string) error {
	if len(path) == 0 || path[0] != "customer" {
		return nil
	}
	a, err := s.accountByID(ctx, p.CustomerID)
	if err != nil {
		return err
	}
	p.Customer = &expandedCustomer{ID: a.ID, Name: a.Name}
	if len(path) < 2 || path[1] != "parcels" {
		return nil
	}
	p.Customer.Parcels, err = many(ctx, s.db, scanParcel, parcelQuery+` WHERE customer_id = ? ORDER BY id LIMIT 5`, a.ID)
	if err != nil {
		return err
	}
	for i := range p.Customer.Parcels {
		err = s.expandDeep(ctx, &p.Customer.Parcels[i], path[2:])
		if err != nil {
			return err
		}
	}
	return nil
}

type parcelPatch struct {
	Recipient *recipient `json:"recipient"`
	Reference *string    `json:"reference"`
}

// patchParcel changes what may change before a parcel is on its way.
func (s *Server) patchParcel(c *call) error {
	p, err := s.ownParcel(c)
	if err != nil {
		return err
	}
	var in parcelPatch
	if s.open("mass-assign-owner") {
		// "customer_id" is a field of the record, so it can be patched like the others.
		var all struct {
			parcelPatch
			CustomerID *int64 `json:"customer_id"`
		}
		err = c.decode(&all)
		if err != nil {
			return err
		}
		in = all.parcelPatch
		if all.CustomerID != nil {
			p.CustomerID = *all.CustomerID
		}
	} else if err := c.decode(&in); err != nil {
		return err
	}
	var k checker
	k.some(in.Recipient != nil, in.Reference != nil, s.open("mass-assign-owner"))
	if in.Recipient != nil {
		in.Recipient.check(&k, "/recipient")
		p.Recipient = *in.Recipient
	}
	if in.Reference != nil {
		k.match("/reference", *in.Reference, reRef)
		p.Reference = *in.Reference
	}
	if err := k.err(); err != nil {
		return err
	}
	if p.Status != booked && p.Status != paid {
		return conflict("parcel_under_way", "The parcel is under way and cannot be changed.")
	}
	_, err = exec(c.ctx(), s.db, `UPDATE parcels SET customer_id = ?, recipient_name = ?, recipient_email = ?, recipient_phone = ?, reference = ? WHERE id = ?`,
		p.CustomerID, p.Recipient.Name, p.Recipient.Email, p.Recipient.Phone, p.Reference, p.ID)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, p)
}

func (s *Server) cancelParcel(c *call) error {
	p, err := s.ownParcel(c)
	if err != nil {
		return err
	}
	n, err := exec(c.ctx(), s.db, `UPDATE parcels SET status = ? WHERE id = ? AND status = ?`, cancelled, p.ID, booked)
	if err != nil {
		return err
	}
	if n == 0 {
		return conflict("parcel_under_way", "Only a booked parcel can be cancelled.")
	}
	err = s.addEvent(c.ctx(), p.ID, cancelled, 0, "")
	if err != nil {
		return err
	}
	return c.sendNothing()
}

type cardInput struct {
	CardID string `json:"card_id"`
}

func (s *Server) payParcel(c *call) error {
	p, err := s.ownParcel(c)
	if err != nil {
		return err
	}
	var in cardInput
	err = c.decode(&in)
	if err != nil {
		return err
	}
	err = s.checkOwnCard(c, in.CardID)
	if err != nil {
		return err
	}
	n, err := exec(c.ctx(), s.db, `UPDATE parcels SET status = ? WHERE id = ? AND status = ?`, paid, p.ID, booked)
	if err != nil {
		return err
	}
	if n == 0 {
		return conflict("parcel_paid", "The parcel is paid for, or cancelled.")
	}
	id := s.newUUID()
	_, err = exec(c.ctx(), s.db, `INSERT INTO payments (id, parcel_id, customer_id, card_id, amount_cents, created_at) VALUES (?, ?, ?, ?, ?, ?)`,
		id, p.ID, c.who.ID, in.CardID, p.Price, stamp(s.now()))
	if err == nil {
		err = s.addEvent(c.ctx(), p.ID, paid, 0, "")
	}
	if err != nil {
		return err
	}
	return c.send(http.StatusCreated, map[string]any{"payment_id": id, "parcel_id": p.ID, "customer_id": c.who.ID, "amount_cents": p.Price})
}

type dispatchInput struct {
	PaymentID string `json:"payment_id"`
	DepotID   int64  `json:"depot_id"`
}

// dispatchParcel hands the parcel over to a depot, which takes paid parcels only.
func (s *Server) dispatchParcel(c *call) error {
	p, err := s.ownParcel(c)
	if err != nil {
		return err
	}
	var in dispatchInput
	err = c.decode(&in)
	if err != nil {
		return err
	}
	_, err = s.depotByID(c.ctx(), in.DepotID)
	if err != nil {
		return invalid("/depot_id", "there is no such depot")
	}
	if s.open("workflow-skip-payment") {
		// That the app shows this button only after payment is taken for a guard.
		if p.Status != booked && p.Status != paid {
			return conflict("parcel_under_way", "The parcel is under way.")
		}
	} else {
		// Fixed: the step before is looked up, not assumed.
		var k checker
		k.uuid("/payment_id", in.PaymentID)
		if err := k.err(); err != nil {
			return err
		}
		n, err := one(c.ctx(), s.db, scanInt, `SELECT count(*) FROM payments WHERE id = ? AND parcel_id = ?`, in.PaymentID, p.ID)
		if err != nil {
			return err
		}
		if n == 0 || p.Status != paid {
			return conflict("not_paid", "The parcel is not paid for.")
		}
	}
	p.Status, p.DepotID = dispatched, in.DepotID
	_, err = exec(c.ctx(), s.db, `UPDATE parcels SET status = ?, depot_id = ? WHERE id = ?`, p.Status, p.DepotID, p.ID)
	if err == nil {
		err = s.addEvent(c.ctx(), p.ID, dispatched, p.DepotID, "")
	}
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, p)
}
