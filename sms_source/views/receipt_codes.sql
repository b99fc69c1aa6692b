-- needs: receipts
-- What the carriers' codes in the description of a receipt mean, by Tencent Cloud's public list.
--
-- carrier: whose code it is: any, mobile, unicom, telecom, or several
-- category: as Tencent's statistics have them: delivered, carrier_error, invalid_number, shutdown, blocklist, frequency, other
-- meaning: in English
select code, carrier, category, meaning
from read_csv('receipt_codes.csv', all_varchar = true) as codes
