package harbour

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// sortColumns are the orders that listParcels knows; openapi.yaml has the same enum.
var sortColumns = map[string]string{
	"": "id DESC", "created_at": "created_at, id", "-created_at": "created_at DESC, id DESC",
	"price": "price_cents, id", "-price": "price_cents DESC, id DESC", "status": "status, id",
}

func (s *Server) listParcels(c *call) error {
	limit := int64(maxPage)
	if s.open("limit-page-size") {
		// One call may ask for the whole table.
		limit = 1 << 40
	}
	number, size, err := c.pageParams(limit)
	if err != nil {
		return err
	}
	where, args := ` WHERE customer_id = ?`, []any{c.who.ID}
	if status := c.param("status"); status != "" {
		var k checker
		k.oneOf("status", status, statuses...)
		if err := k.err(); err != nil {
			return err
		}
		where, args = where+` AND status = ?`, append(args, status)
	}
	order, ok := sortColumns[c.param("sort")]
	if !ok {
		if !s.open("sqli-sort") {
			// Fixed: an order is chosen from a list, never taken from the request.
			return invalid("sort", "unknown order")
		}
		// A column name cannot be a bound parameter, so it was pasted in.
		order = c.param("sort")
	}
	total, err := one(c.ctx(), s.db, scanInt, `SELECT count(*) FROM parcels`+where, args...)
	if err != nil {
		return err
	}
	items, err := many(c.ctx(), s.db, scanParcel, parcelQuery+where+` ORDER BY `+order+` LIMIT ? OFFSET ?`, append(args, size, (number-1)*size)...)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, page[parcel]{items, number, size, total})
}

type batchInput struct {
	IDs []int64 `json:"ids"`
}

// maxBatch bounds what one batch call may ask for.
const maxBatch = 50

// batchParcels reads many parcels at once; numbers that are not the caller's are left out.
func (s *Server) batchParcels(c *call) error {
	var in batchInput
	err := c.decode(&in)
	if err != nil {
		return err
	}
	most := maxBatch
	if s.open("limit-batch") {
		// As many as fit into the body: one call does the work of thousands.
		most = 1 << 30
	}
	if len(in.IDs) < 1 || len(in.IDs) > most {
		return invalid("/ids", fmt.Sprintf("1 to %d ids are needed", most))
	}
	items := []parcel{}
	for i, id := range in.IDs {
		if id < 1 || id > 1<<31-1 {
			return invalid(fmt.Sprintf("/ids/%d", i), "a whole number from 1 to 2147483647 is needed")
		}
		p, err := s.parcelByID(c.ctx(), id)
		if err != nil {
			continue
		}
		// The single read checks the owner; with bola-batch-body this second way in does not.
		if c.who.mayRead(p) || s.open("bola-batch-body") {
			items = append(items, p)
		}
	}
	return c.send(http.StatusOK, map[string]any{"items": items})
}

type parcelFilter struct {
	Status  string `json:"status"`
	Service string `json:"service"`
	Country string `json:"country"`
	City    string `json:"city"`
}

// filterParcels finds the caller's parcels by equal fields.
func (s *Server) filterParcels(c *call) error {
	if s.open("nosql-search") {
		return s.filterByDocument(c)
	}
	var in parcelFilter
	err := c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	if in.Status != "" {
		k.oneOf("/status", in.Status, statuses...)
	}
	if in.Service != "" {
		k.oneOf("/service", in.Service, services...)
	}
	k.optional("/country", in.Country, reCountry)
	k.text("/city", in.City, 0, 80)
	if err := k.err(); err != nil {
		return err
	}
	items, err := many(c.ctx(), s.db, scanParcel, parcelQuery+` WHERE customer_id = ? AND (? = '' OR status = ?) AND (? = '' OR service = ?)
		AND (? = '' OR country = ?) AND (? = '' OR city = ?) ORDER BY id DESC LIMIT ?`, c.who.ID,
		in.Status, in.Status, in.Service, in.Service, in.Country, in.Country, in.City, in.City, maxPage)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, map[string]any{"items": items})
}

// filterByDocument is the open branch of nosql-search: the body is merged over
// the filter that keeps customers apart, and may hold operators.
func (s *Server) filterByDocument(c *call) error {
	raw, err := c.jsonBody()
	if err != nil {
		return err
	}
	filter := map[string]any{"customer_id": float64(c.who.ID)}
	err = json.Unmarshal(raw, &filter)
	if err != nil {
		return badRequest("The body is not JSON.", fmt.Errorf("decoding a filter: %w", err))
	}
	all, err := many(c.ctx(), s.db, scanParcel, parcelQuery+` ORDER BY id DESC LIMIT 5000`)
	if err != nil {
		return err
	}
	items := slices.DeleteFunc(all, func(p parcel) bool { return !documentMatches(p, filter) })
	return c.send(http.StatusOK, map[string]any{"items": items[:min(len(items), maxPage)]})
}

func documentMatches(p parcel, filter map[string]any) bool {
	doc := map[string]any{
		"id": float64(p.ID), "customer_id": float64(p.CustomerID), "company_id": float64(p.CompanyID), "status": p.Status,
		"service": p.Service, "country": p.Destination.Country, "city": p.Destination.City, "price_cents": float64(p.Price),
	}
	for field, want := range filter {
		if !matchesOperator(doc[field], want) {
			return false
		}
	}
	return true
}

// hit is what a search shows of a parcel.
type hit struct {
	ID           int64  `json:"id"`
	TrackingCode string `json:"tracking_code"`
	CustomerID   int64  `json:"customer_id"`
	Recipient    string `json:"recipient"`
	Status       string `json:"status"`
}

func scanHit(r scanner) (hit, error) {
	var h hit
	return h, r.Scan(&h.ID, &h.TrackingCode, &h.CustomerID, &h.Recipient, &h.Status)
}

const hitQuery = `SELECT id, tracking_code, customer_id, recipient_name, status FROM parcels`

// search finds the caller's parcels by a piece of the recipient's name, the city or the reference.
func (s *Server) search(c *call) error {
	q := c.param("q")
	var k checker
	k.text("q", q, 1, 100)
	if err := k.err(); err != nil {
		return err
	}
	var (
		items []hit
		err   error
	)
	if s.open("sqli-search") {
		// The text is pasted into the statement, and a statement that fails is taken for "nothing found".
		items, err = many(c.ctx(), s.db, scanHit, fmt.Sprintf(`%s WHERE customer_id = %d AND (recipient_name LIKE '%%%s%%' OR city LIKE '%%%s%%') LIMIT 50`, hitQuery, c.who.ID, q, q))
		if err != nil {
			s.log.Warn("search failed", "request_id", c.id, "error", err)
			items, err = []hit{}, nil
		}
	} else {
		// Fixed: the text is a bound value, and its wildcards are literal.
		like := likePattern(q)
		items, err = many(c.ctx(), s.db, scanHit, hitQuery+` WHERE customer_id = ? AND (recipient_name LIKE ? ESCAPE '\' OR city LIKE ? ESCAPE '\' OR reference LIKE ? ESCAPE '\')
			ORDER BY id DESC LIMIT 50`, c.who.ID, like, like, like)
	}
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, map[string]any{"items": items})
}
