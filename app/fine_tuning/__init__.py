"""Files and fine-tuning jobs in the forms of OpenAI's API: uploads, data sets and jobs by other names."""
