package harbour

import (
	"fmt"
	"net/http"
)

// exportMax bounds a page of an export; programs take larger pages than people.
const exportMax = 500

// exportParcels gives the finance system all parcels, a page at a time.
func (s *Server) exportParcels(c *call) error {
	number, size, err := c.pageParams(exportMax)
	if err != nil {
		return err
	}
	where, args := ``, []any(nil)
	if status := c.param("status"); status != "" {
		var k checker
		k.oneOf("status", status, statuses...)
		if err := k.err(); err != nil {
			return err
		}
		where, args = ` WHERE status = ?`, []any{status}
	}
	return s.exportPage(c, where, args, number, size)
}

// exportRow is a parcel as partners see it: nothing of the recipient.
type exportRow struct {
	ID           int64  `json:"id"`
	TrackingCode string `json:"tracking_code"`
	CompanyID    int64  `json:"company_id"`
	Status       string `json:"status"`
	Service      string `json:"service"`
	WeightGrams  int64  `json:"weight_grams"`
	Country      string `json:"country"`
	Price        int64  `json:"price_cents"`
	CreatedAt    string `json:"created_at"`
}

func (s *Server) exportPage(c *call, where string, args []any, number, size int64) error {
	total, err := one(c.ctx(), s.db, scanInt, `SELECT count(*) FROM parcels`+where, args...)
	if err != nil {
		return err
	}
	items, err := many(c.ctx(), s.db, func(r scanner) (exportRow, error) {
		var e exportRow
		return e, r.Scan(&e.ID, &e.TrackingCode, &e.CompanyID, &e.Status, &e.Service, &e.WeightGrams, &e.Country, &e.Price, &e.CreatedAt)
	}, `SELECT id, tracking_code, company_id, status, service, weight_grams, country, price_cents, created_at FROM parcels`+where+
		` ORDER BY id LIMIT ? OFFSET ?`, append(args, size, (number-1)*size)...)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, page[exportRow]{items, number, size, total})
}

// exportInvoices gives the finance system all invoices.
func (s *Server) exportInvoices(c *call) error {
	number, size, err := c.pageParams(exportMax)
	if err != nil {
		return err
	}
	total, err := one(c.ctx(), s.db, scanInt, `SELECT count(*) FROM invoices`)
	if err != nil {
		return err
	}
	items, err := many(c.ctx(), s.db, scanInvoice, invoiceQuery+` ORDER BY number, id LIMIT ? OFFSET ?`, size, (number-1)*size)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, page[invoice]{items, number, size, total})
}

type rateInput struct {
	DutyPercent *float64 `json:"duty_percent"`
}

// putRate lets the customs broker fix a country's rate.
func (s *Server) putRate(c *call) error {
	country := c.r.PathValue("country")
	var in rateInput
	err := c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	k.match("country", country, reCountry)
	if in.DutyPercent == nil || *in.DutyPercent < 0 || *in.DutyPercent > 100 {
		k.fault("/duty_percent", "a number from 0 to 100 is needed")
	}
	if err := k.err(); err != nil {
		return err
	}
	_, err = exec(c.ctx(), s.db, `INSERT INTO rates (country, duty_percent, updated_by) VALUES (?, ?, ?)
		ON CONFLICT (country) DO UPDATE SET duty_percent = excluded.duty_percent, updated_by = excluded.updated_by`, country, *in.DutyPercent, c.who.Client)
	if err == nil {
		err = s.note(c, "rate.set", fmt.Sprintf("%s %g", country, *in.DutyPercent))
	}
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, partnerRate{country, *in.DutyPercent})
}
